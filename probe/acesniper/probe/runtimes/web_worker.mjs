// Runs one ONNX model in onnxruntime's WebAssembly build for the parent process.
// Frames both ways: a 4-byte length, a JSON head of that length, then the bytes it announces.
import { createRequire } from "node:module";
import { readSync, writeSync } from "node:fs";

const ort = createRequire(process.argv[2] + "/")("onnxruntime-web");
ort.env.wasm.numThreads = Number(process.argv[3]);
ort.env.logLevel = "error";
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, bool: Uint8Array };

function exactly(size) {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const got = readSync(0, buffer, at, size - at, null);
    if (got === 0) process.exit(0);
    at += got;
  }
  return buffer;
}

function receive() {
  const head = JSON.parse(exactly(exactly(4).readUInt32LE(0)).toString());
  return { ...head, parts: head.sizes.map(exactly) };
}

function send(head, parts) {
  const text = Buffer.from(JSON.stringify({ ...head, sizes: parts.map((p) => p.byteLength) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  for (const part of [length, text, ...parts]) {
    for (let at = 0; at < part.byteLength; ) at += writeSync(1, part, at);
  }
}

const bytes = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
let session;
let feeds;
for (;;) {
  const asked = receive();
  try {
    if (asked.kind === "load") {
      session = await ort.InferenceSession.create(asked.parts[0], {
        executionProviders: ["wasm"],
        graphOptimizationLevel: asked.optimise ? "all" : "disabled",
      });
      send({}, []);
      continue;
    }
    if (asked.kind === "feed") {
      feeds = {};
      asked.names.forEach((name, i) => {
        const copy = asked.parts[i].buffer.slice(0, asked.parts[i].byteLength);
        feeds[name] = new ort.Tensor(asked.types[i], new ARRAYS[asked.types[i]](copy), asked.shapes[i]);
      });
    }
    const found = await session.run(feeds);
    const names = session.outputNames;
    send(
      { types: names.map((n) => found[n].type), shapes: names.map((n) => found[n].dims) },
      names.map((n) => bytes(found[n].data)),
    );
  } catch (error) {
    send({ error: String(error).slice(0, 300) }, []);
  }
}
