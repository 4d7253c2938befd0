// Runs the tests one after the other and ends with one line: N passed, N failed.

import { tests, startBrowser, stopBrowser, closeAll, complaints, forgetComplaints } from './harness.mjs';
import './chat.test.mjs';
import './delivery.test.mjs';
import './safety.test.mjs';
import './access.test.mjs';
import './budget.test.mjs';

const only = new RegExp(process.env.ONLY || '.', 'i');
let passed = 0;
let failed = 0;

await startBrowser();
for (const { name, run } of tests.filter((one) => only.test(one.name))) {
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
process.exit(failed || !passed ? 1 : 0);
