"""Fuzzing by grammar: valid exchanges of a client, corrupted in one or more places, sent to a real server that also serves
honest callers.

A case is what one connection sends, in which segments, and how it ends. It is drawn from the seed of the run, the door and its
number, so that a run can be repeated; only the tokens and ids of real jobs in it differ. A case that finds a defect is
minimized and kept as a file in `corpus/`, which the tests replay.

    values ── schema                      values of fields: good, odd and hostile
    mutation                              bytes: flipped, spliced, cut into segments
    http ── page ── dialects              the grammars, one for each door
    websocket ── beanstalkd
    case ── play ── verdict               one case, played, and what is wrong with the answers
    stock ── honest                       real jobs to name in a case; honest callers, whose jobs must exist at the end
    server ── trial ── shrink ── report   one run, from the start of the server to the figures

Nothing here imports the server: any server that listens on these ports can be tested.

Run `python -m fuzz --help`.
"""
