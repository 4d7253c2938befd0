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
  ['Noor', 'Slides are here: http://hallway.local/talk.pdf'],
  ['Kofi', 'I can carry it over. On my way!'],
  ['Jonas', 'You are a hero 🙂'],
];

await startBrowser();
const server = await startServer();
const others = new Map();
for (const [name] of TALK) {
  if (name !== 'Kofi' && !others.has(name)) others.set(name, await connect(server, { name }));
}
const kofi = await person(server, 'Kofi', { viewport: { width: 1100, height: 720 }, deviceScaleFactor: 2, colorScheme: 'light' });
for (const [name, text] of TALK) {
  if (name === 'Kofi') await kofi.say(text);
  else others.get(name).say(text);
  await kofi.sees(text);
}
others.get('Mara').send({ type: 'typing' });
await until(() => kofi.page.textContent('#typing'), 'typing');
await pause(300); // the last message has moved in
fs.mkdirSync(path.join(ROOT, 'docs'), { recursive: true });
await kofi.page.screenshot({ path: path.join(ROOT, 'docs/page.png') });
await closeAll();
await stopBrowser();
console.log('docs/page.png');
