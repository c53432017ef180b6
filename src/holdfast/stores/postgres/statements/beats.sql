SELECT worker, at FROM beat
