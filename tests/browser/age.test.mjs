// The page uses nothing that browsers of five years ago lack. The other tests run in a Chromium of
// that time; for Firefox and Safari MDN's compatibility data has to do, by the names in the page.

import fs from 'node:fs';
import path from 'node:path';
import { test, same, check, ROOT, require } from './harness.mjs';

const DAY = '2021-11-24';
const BROWSERS = ['chrome', 'edge', 'firefox', 'safari']; // the engines, with what a desktop has

// Newer than that, and what a browser does that does not know it.
const HARMLESS = {
  ':focus-visible': 'shows the focus after a click too',
  'color-scheme': 'Firefox: scroll bars stay light',
  'name=color-scheme': 'the same',
  'overflow-wrap: anywhere': 'Safari: word-break: break-word stands beside it and does the same',
  'overscroll-behavior': 'Safari: the whole page may bounce',
  'overflow-anchor': 'Safari anchors nothing to begin with',
  '@media forced-colors': 'does not have them',
  'forced-color-adjust': 'does not have them',
  'text-size-adjust': 'has another default',
  'rel=modulepreload': 'loads the modules a moment later',
  'rel=manifest': 'makes a bookmark of it',
  'name=theme-color': 'the frame has the colour of all frames',
  'name=viewport': 'is for phones, where all have it',
  autocapitalize: 'is for phones, where it matters little',
};

const { default: acorn, ...named } = await import(require.resolve('acorn'));
const { parse } = acorn || named;
const data = JSON.parse(fs.readFileSync(require.resolve('@mdn/browser-compat-data'), 'utf8'));

const source = (ending) => fs.readdirSync(path.join(ROOT, 'src/web'))
  .filter((name) => name.endsWith(ending))
  .map((name) => ({ name, text: fs.readFileSync(path.join(ROOT, 'src/web', name), 'utf8') }));

// -- what the data say

const wasThere = (browser, version) => version === true
  || (typeof version === 'string' && data.browsers[browser].releases[version.replace('≤', '')]?.release_date <= DAY);

/** Whether all browsers had it on that day, without prefix. */
function isOld({ __compat: compat } = {}) {
  if (!compat) return true;
  return BROWSERS.every((browser) => [compat.support[browser] ?? { version_added: true }].flat().some((entry) => (
    wasThere(browser, entry.version_added) && !wasThere(browser, entry.version_removed) && !entry.flags && !entry.prefix)));
}

/** All that is called `name` as a member of anything in the language or the platform. */
const members = new Map();
const { Intl, ...builtins } = data.javascript.builtins;
for (const owner of [builtins, Intl, data.api].flatMap((part) => Object.values(part))) {
  for (const [key, feature] of Object.entries(owner)) {
    const name = key.replace(/_(static|event)$/, '');
    if (feature.__compat && !key.endsWith('_event')) members.set(name, [...(members.get(name) || []), feature]);
  }
}

// -- what is in the page

/** Every node of a syntax tree. */
function* nodes(tree) {
  if (!tree || typeof tree !== 'object') return;
  if (tree.type) yield tree;
  for (const child of Object.values(tree)) yield* nodes(child);
}

/** The names of members that scripts define themselves. */
function* ownNames(text) {
  for (const node of nodes(parse(text, { ecmaVersion: 2021, sourceType: 'module' }))) {
    if (node.type === 'Property' && !node.computed) yield node.key.name;
    if (node.type === 'AssignmentExpression' && node.left.type === 'MemberExpression') yield node.left.property.name;
  }
}
const own = new Set(source('.js').flatMap(({ text }) => [...ownNames(text)]));

/** What is too new in a script; a member is, where all that have its name are, and it is not our own. */
function* inScript(text) {
  for (const node of nodes(parse(text, { ecmaVersion: 2021, sourceType: 'module' }))) {
    if (node.type === 'MemberExpression' && !node.computed) {
      const known = members.get(node.property.name);
      if (known && !known.some(isOld) && !own.has(node.property.name)) yield `.${node.property.name}`;
    }
    if (node.type === 'Identifier' && !isOld(data.api[node.name] || data.javascript.builtins[node.name])) yield node.name;
    if (node.regex && /\(\?<[=!]/.test(node.regex.pattern)) yield `lookbehind in /${node.regex.pattern}/`;
  }
}

function* inStyle(text) {
  const { properties, selectors, types, 'at-rules': rules } = data.css;
  const code = text.replace(/\/\*[^]*?\*\//g, '').replace(/"[^"]*"/g, '""');
  for (const [, name, value] of code.matchAll(/(?<=[{;]\s*)([a-z-]+)\s*:\s*([^;{}]+)(?=[;}])/g)) {
    const property = properties[name.replace(/^-webkit-/, '')];
    if (!isOld(properties[name] || property)) yield name.replace(/^-webkit-/, '');
    else for (const [word] of value.matchAll(/[a-z][a-z-]+/g)) if (!isOld(property?.[word])) yield `${name}: ${word}`;
  }
  for (const [, name] of code.matchAll(/::?([a-z-]+)(?=[\s,.:()[{>+~])(?=[^;}]*\{)/g)) if (!isOld(selectors[name])) yield `:${name}`;
  for (const [, name] of code.matchAll(/@([a-z-]+)/g)) if (!isOld(rules[name])) yield `@${name}`;
  for (const [, name] of code.matchAll(/\(([a-z-]+):/g)) if (!isOld(rules.media[name])) yield `@media ${name}`;
  for (const [, name] of code.matchAll(/([a-z-]+)\(/g)) if (!isOld(types[name]) || !isOld(types.color[name])) yield `${name}()`;
  for (const [, unit] of code.matchAll(/\d([a-z]+)\b/g)) {
    if (!isOld(types.length[unit]) || /^[sdl]v/.test(unit)) yield `1${unit}`;
  }
  if (/\([^()]*[<>]=?/.test(code)) yield 'a range in a media query';
  if (/(?<!@[^{}]*)\{[^{}]*[^{}\s;]\s*\{/.test(code)) yield 'nested rules';
}

function* inMarkup(text) {
  const { elements, global_attributes: everywhere } = data.html;
  for (const [, tag, rest] of text.matchAll(/<([a-z]\w*)((?:\s+[\w-]+(?:="[^"]*")?)*)/g)) {
    if (!isOld(elements[tag])) yield `<${tag}>`;
    for (const [, name, value] of rest.matchAll(/([\w-]+)(?:="([^"]*)")?/g)) {
      const feature = elements[tag]?.[name] || everywhere[name];
      if (!isOld(feature)) yield name;
      if (!isOld(feature?.[value])) yield `${name}=${value}`;
    }
  }
}

function tooNew() {
  const found = new Set();
  for (const [ending, look] of [['.js', inScript], ['.css', inStyle], ['.html', inMarkup]]) {
    for (const { text } of source(ending)) for (const name of look(text)) found.add(name);
  }
  return found;
}

test('nothing in the page is newer than five years, but for what does no harm', async () => {
  const found = [...tooNew()];
  same(found.filter((name) => !HARMLESS[name]), [], 'too new');
  same(Object.keys(HARMLESS).filter((name) => !found.includes(name)), [], 'no longer used, or old by now');
}, { once: true });

test('what is too new is found', async () => {
  for (const [look, text, expected] of [
    [inScript, 'list.at(-1)', '.at'],
    [inScript, 'structuredClone(list)', 'structuredClone'],
    [inScript, 'crypto.randomUUID()', '.randomUUID'],
    [inScript, 'Object.hasOwn(a, b)', '.hasOwn'],
    [inScript, 'text.match(/(?<=a)b/)', 'lookbehind in /(?<=a)b/'],
    [inStyle, 'a { height: 100dvh; }', '1dvh'],
    [inStyle, 'a:has(b) { color: red; }', ':has'],
    [inStyle, 'a { color: color-mix(in srgb, red, blue); }', 'color-mix()'],
    [inStyle, 'a { accent-color: red; }', 'accent-color'],
    [inStyle, 'a { color: red; b { color: blue; } }', 'nested rules'],
    [inStyle, '@container (min-width: 1px) { a { color: red; } }', '@container'],
    [inStyle, '@media (width >= 1px) { a { color: red; } }', 'a range in a media query'],
    [inMarkup, '<p inert>', 'inert'],
    [inMarkup, '<dialog open>', '<dialog>'],
  ]) {
    check([...look(text)].includes(expected), `${expected} is found in ${text}, not ${[...look(text)]}`);
  }
  let error = null;
  try { [...inScript('class A { static { } }')]; } catch (caught) { error = caught; }
  check(error, 'syntax of 2022 is no syntax');
}, { once: true });
