// Runs one script on MicroPython's WebAssembly build: node run.mjs '{"engine", "mounts", "script", "arguments"}'.
// Its files are in RAM: what "mounts" names is copied there first. The exit code is the script's.
import { readFileSync, readdirSync } from "node:fs";

const HEAP_BYTES = 64 << 20; // whole disks and brokers are in it
const order = JSON.parse(process.argv[2]);
const { loadMicroPython } = await import(order.engine);
const micropython = await loadMicroPython({
    heapsize: HEAP_BYTES,
    linebuffer: false,
    stdout: (bytes) => process.stdout.write(bytes),
});

function mount(inside, folder) {
    micropython.FS.mkdirTree(inside);
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const [to, from] = [`${inside}/${entry.name}`, `${folder}/${entry.name}`];
        if (entry.isDirectory() && entry.name !== "__pycache__") {
            mount(to, from);
        } else if (entry.name.endsWith(".py")) {
            micropython.FS.writeFile(to, readFileSync(from));
        }
    }
}

for (const [inside, folder] of Object.entries(order.mounts)) {
    mount(inside, folder);
}
// .frozen has modules that boards lack. A script is run as by its name, so that __file__ and __name__ are right.
const program = `
import sys
sys.path[:] = ["/", "/lib"]
sys.argv[:] = ${JSON.stringify([order.script, ...order.arguments])}
exit_code = 0
try:
    with open(sys.argv[0]) as file:
        source = file.read()
    exec(compile(source, sys.argv[0], "exec"), {"__name__": "__main__", "__file__": sys.argv[0]})
except SystemExit as end:
    exit_code = end.args[0] if end.args else 0
except BaseException as error:
    sys.print_exception(error)
    exit_code = 1
`;
try {
    micropython.runPython(program);
    process.exitCode = micropython.globals.get("exit_code");
} catch (error) {
    // Not thrown on: node would print the whole of the engine with it.
    console.error(`the engine broke: ${error.message}`);
    process.exitCode = 2;
}
