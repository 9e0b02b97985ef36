// Runs the module with nothing to import: a whole conversation, in one piece and in pieces of seven bytes.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const { conversation } = new WebAssembly.Instance(module, {}).exports;
for (const chunk of [1 << 20, 7]) {
    const members = conversation(1n, chunk);
    if (members !== 1) throw new Error(`${members} members enrolled, in pieces of ${chunk} bytes`);
}
console.log("ran: a member enrolled inside the module");
