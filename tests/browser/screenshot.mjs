// The picture for the README: node tests/browser/screenshot.mjs [PATH OF hallway]
// (after tests/browser/install). Writes docs/page.png.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT, startBrowser, stopBrowser, startServer, connect, person, closeAll, until, pause } from './harness.mjs';

process.env.HALLWAY_BIN = process.argv[2] || process.env.HALLWAY_BIN || path.join(ROOT, 'target/release/hallway');

const TALK = [
  ['Mara', 'Morning! Did anyone move the projector out of room 2?'],
  ['Mara', 'The talk starts at ten.'],
  ['Jonas', 'It is in the workshop, next to the laser cutter.'],
  ['ليلى', 'صباح الخير، سأكون هناك خلال خمس دقائق'],
  ['Priya', 'Slides are here: http://hallway.local/talk.pdf'],
  ['Sam', 'I can carry it over. On my way!'],
  ['Jonas', 'You are a hero 🙂'],
];

await startBrowser();
const server = await startServer();
const sam = await person(server, 'Sam', { viewport: { width: 1100, height: 720 }, deviceScaleFactor: 2, colorScheme: 'light' });
const others = new Map();
for (const [name, text] of TALK) {
  if (name === 'Sam') await sam.say(text);
  else {
    if (!others.has(name)) others.set(name, await connect(server, { name }));
    others.get(name).say(text);
  }
  await sam.sees(text);
}
others.get('Mara').send({ type: 'typing' });
await until(() => sam.page.textContent('#typing'), 'typing');
await pause(300); // the last message has moved in
fs.mkdirSync(path.join(ROOT, 'docs'), { recursive: true });
await sam.page.screenshot({ path: path.join(ROOT, 'docs/page.png') });
await closeAll();
await stopBrowser();
console.log('docs/page.png');
