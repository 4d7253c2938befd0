// The page is small, fast, and stays so.

import { test, check, same, until, startServer, connect, person, newPage } from './harness.mjs';

const TRANSFER = 30 * 1024;
const SCRIPT_MS = 100;
const TASK_MS = 200; // a page that answers within it feels prompt

/** One load with nothing cached, on a CPU made 6 times slower: { bytes, urls, script }. */
async function firstView(page, url) {
  const devtools = await page.context().newCDPSession(page);
  const result = { bytes: 0, urls: [] };
  devtools.on('Network.loadingFinished', (event) => { result.bytes += event.encodedDataLength; });
  devtools.on('Network.requestWillBeSent', (event) => result.urls.push(event.request.url));
  await devtools.send('Network.enable');
  await devtools.send('Performance.enable');
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 6 });
  // Nothing is asked of the page before the figure is taken: playwright asks by scripts of
  // its own, and they would be counted.
  await page.goto(url, { waitUntil: 'networkidle' });
  const { metrics } = await devtools.send('Performance.getMetrics');
  result.script = 1000 * metrics.find((one) => one.name === 'ScriptDuration').value;
  await devtools.detach();
  return result;
}

test('first view: at most 30 KB transferred, under 100 ms of script on a 6 times slower CPU', async () => {
  const server = await startServer();
  const views = [];
  // The throttle stops the page at random moments, as does whatever else this machine does: both
  // add to the figure. A page that was loaded before the throttle took hold has less. So the third
  // lowest is judged, and a busy machine gets more attempts.
  const times = () => views.map((view) => Math.round(view.script)).sort((a, b) => a - b);
  while (views.length < 5 || (views.length < 20 && times()[2] >= SCRIPT_MS)) {
    const page = await newPage();
    views.push(await firstView(page, server.url));
    check(await page.isVisible('#name-form'), 'the view is there');
    await page.context().close();
  }
  const [{ bytes, urls }] = views;
  console.log(`        ${urls.length} requests, ${bytes} bytes with all headers, script ${times().join(', ')} ms`);
  same(urls.filter((url) => !url.startsWith(server.url)), [], 'requests to elsewhere');
  check(times()[2] < SCRIPT_MS, `${times()[2]} ms of script`);
  check(bytes <= TRANSFER, `${bytes} bytes are transferred`);
}, { once: true });

test('a second visit transfers what has changed, which is nothing', async () => {
  const server = await startServer();
  const page = await newPage();
  await page.goto(server.url);
  const { bytes, urls } = await firstView(page, server.url);
  check(urls.length > 10 && bytes < 300 * urls.length, `${bytes} bytes for ${urls.length} requests`);
}, { once: true });

/** The CPU time of the page's longest task while `run` runs, in ms: how long it may not answer. */
async function longestTask(page, run) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ['toplevel'] });
  await run();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const main = new Set(traceEvents.filter((one) => one.name === 'thread_name' && one.args.name === 'CrRendererMain').map((one) => `${one.pid} ${one.tid}`));
  const tasks = traceEvents.filter((one) => one.tdur && main.has(`${one.pid} ${one.tid}`));
  check(tasks.length > 100, `${tasks.length} tasks are in the trace`);
  return tasks.reduce((longest, { tdur }) => Math.max(longest, tdur), 0) / 1000;
}

test('10,000 messages keep the page responsive, and old ones leave the document', async () => {
  const server = await startServer(['--rate', '0', '--queue-frames', '20000', '--queue-bytes', '64M']);
  const alice = await person(server, 'Alice');
  const bob = await connect(server, { name: 'Bob' });
  const longest = await longestTask(alice.page, async () => {
    for (let i = 1; i <= 10000; i += 1) {
      bob.say(`message ${i}`);
      if (i % 250 === 0) await until(() => bob.texts().length >= i, `${i} said`, 60000);
      if (i === 5000) await alice.page.type('#text', 'still typing', { timeout: 60000 });
    }
    await alice.sees('message 10000', 60000);
  });
  same(await alice.page.inputValue('#text'), 'still typing', 'typed in the middle of it');
  check(longest < TASK_MS, `a task took ${longest} ms`);
  const rows = (await alice.texts()).length;
  check(rows <= 500, `${rows} messages in the document`);
  const key = await longestTask(alice.page, () => alice.page.type('#text', '!'.repeat(50)));
  check(key < TASK_MS / 2, `a key took ${key} ms`);
  // What has left the document can be had again, and the reader keeps their place.
  const first = (await alice.texts())[0];
  await alice.page.click('#earlier');
  const after = await alice.texts();
  check(after.indexOf(first) === 200, `200 earlier ones above, not ${after.indexOf(first)}`);
  console.log(`        longest task ${longest.toFixed(0)} ms of CPU, ${rows} messages in the document, a key ${key.toFixed(0)} ms`);
}, { once: true });
