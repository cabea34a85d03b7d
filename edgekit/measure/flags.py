def remarks(blocks, latencies):
    return ()
