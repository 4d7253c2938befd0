// Runs the tests one after the other in one browser, and ends with one line: N passed, N failed.

import { tests, startBrowser, stopBrowser, closeAll, complaints, forgetComplaints } from './harness.mjs';
import './chat.test.mjs';
import './delivery.test.mjs';
import './safety.test.mjs';
import './access.test.mjs';
import './age.test.mjs';
import './budget.test.mjs';

const { ONLY = '.', BROWSER = 'today' } = process.env;
const only = new RegExp(ONLY, 'i');
const chosen = tests.filter(({ name, once }) => only.test(name) && !(once && BROWSER !== 'today'));
let passed = 0;
let failed = 0;

console.log(`Chromium ${await startBrowser(BROWSER)}`);
for (const { name, run } of chosen) {
  const started = Date.now();
  forgetComplaints();
  try {
    await run();
    if (complaints.length) throw new Error(`the browser complained: ${complaints.join(' | ')}`);
    passed += 1;
    console.log(`ok      ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${error.message.replace(/\n/g, '\n        ')}`);
  }
  await closeAll();
}
await stopBrowser();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !(passed || process.env.ONLY) ? 1 : 0);
