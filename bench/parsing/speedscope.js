// Speedscope's importer of callgrind files, without its page: node speedscope.js BUNDLE PROFILE
// The package is one bundle without an interface, so the function is found in its text (version 1.25).
const fs = require('node:fs');
const vm = require('node:vm');

const [bundle, profile] = process.argv.slice(2);
const text = fs.readFileSync(bundle, 'utf8');
const found = /function (\w+)\((\w,\w)\)\{return new (\w+)\(\2\)\.parse\(\)\}var \w+,\3,(\w+)=/.exec(text);
if (!found) throw new Error('this version of speedscope is not known');
const start = '"use strict";(()=>{';
if (!text.startsWith(start)) throw new Error('this version of speedscope is not known');
const context = vm.createContext({ console });
try {
  vm.runInContext(`${start}globalThis.load=()=>{${found[4]}();return ${found[1]}};${text.slice(start.length)}`, context);
} catch (error) {
  if (!context.load) throw error; // the page itself needs a browser
}
const lines = fs.readFileSync(profile, 'latin1').split('\n');
const group = context.load()({ splitLines: () => lines }, 'profile');
if (!group.profiles.length) throw new Error('nothing was read');
