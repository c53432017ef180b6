"""Fuzzing by grammar: exchanges that a client could have, spoilt in one or many places, against a real server and beside honest callers.

A case is what one connection sends, in which segments, and how it ends. Each is drawn from the run's seed, its door and its number, so that a run
can be repeated; only the tokens and numbers of real jobs in it differ. What is found is made as small as it gets, and kept as a file of
`corpus/`, which the tests replay.

    values ── schema                      what stands in a field: good, odd and hostile
    mutation                              bytes: flipped, spliced, cut into segments
    http ── page ── dialects              the grammars, one for each door
    websocket ── beanstalkd
    case ── play ── verdict               one case, played, and what is wrong with what came back
    stock ── honest                       real jobs to name in a case; callers whose jobs have to be there at the end
    server ── trial ── shrink ── report   one run, from the start of the server to the figures

Nothing here imports the server: it is whatever answers at these ports.

Run `python -m fuzz --help`.
"""
