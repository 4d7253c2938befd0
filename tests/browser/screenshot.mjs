// The picture for the README: node tests/browser/screenshot.mjs [PATH OF hallway]
// (after tests/browser/install). Writes docs/page.png.

import path from 'node:path';
import { ROOT, startBrowser, stopBrowser, startServer, connect, person, newPage, closeAll, until } from './harness.mjs';

process.env.SERVER_BIN = process.argv[2] || process.env.SERVER_BIN || path.join(ROOT, 'target/release/hallway');

const TALK = [
  ['Mara', 'Morning! Did anyone move the projector out of room 2?'],
  ['Mara', 'The talk starts at ten.'],
  ['Jonas', 'It is in the workshop, next to the laser cutter.'],
  ['ليلى', 'صباح الخير، سأكون هناك خلال خمس دقائق'],
  ['Noor', 'Slides are here: http://hallway.local/talk'],
  ['Kofi', 'I can carry it over. On my way!'],
  ['Jonas', 'You are a hero 🙂'],
];

await startBrowser();
const server = await startServer();
const others = new Map();
for (const [name] of TALK) {
  if (!['Kofi', 'Mara'].includes(name) && !others.has(name)) others.set(name, await connect(server, { name }));
}
const size = { desktop: { width: 960, height: 740 }, phone: { width: 360, height: 740 } };
const sharp = { deviceScaleFactor: 1.5 };
const kofi = await person(server, 'Kofi', { ...sharp, viewport: size.desktop, colorScheme: 'light' });
const mara = await person(server, 'Mara', { ...sharp, viewport: size.phone, colorScheme: 'dark' });
const texts = () => Promise.all([kofi.texts(), mara.texts()]);
for (const [name, text] of TALK) {
  const speaker = { Kofi: kofi, Mara: mara }[name] || others.get(name);
  await speaker.say(text);
  await until(async () => (await texts()).every((all) => all.includes(text)), `both see "${text}"`);
}
others.get('Jonas').send({ type: 'typing' });
for (const { page } of [kofi, mara]) {
  await until(() => page.textContent('#typing'), 'typing');
  await page.evaluate(() => document.activeElement.blur());
}
// What the two see, side by side.
const shot = async ({ page }) => `data:image/png;base64,${(await page.screenshot({ animations: 'disabled' })).toString('base64')}`;
const picture = await newPage({ ...sharp, viewport: { width: 1384, height: 780 } });
await picture.setContent(`<style>
  body { margin: 0; padding: 20px 18px; display: flex; gap: 24px; background: #ddd5c6; }
  img { height: 740px; border-radius: 12px; box-shadow: 0 2px 12px #0004; }
</style><img src="${await shot(kofi)}"><img src="${await shot(mara)}">`);
await picture.screenshot({ path: path.join(ROOT, 'docs/page.png') });
await closeAll();
await stopBrowser();
console.log('docs/page.png');
