"""The benchmark of Holdfast: one command that measures the server over HTTP, and its peers in the same run.

`python -m bench` starts the server, plays every case against it from a load generator in a process of its own, does the same to
each peer that is installed, and writes the results to `bench/results/`. Every figure in a report is from the run that wrote it.

    __main__    the command                                         sizes      how much of everything a run does
    cases       what is measured at Holdfast, phase by phase        peers      the same at beanstalkd and Redis
    stage       a server and a generator, and what is read around each phase
    server, started                                                 a server's process: started, asked, stopped

    generator   the harness's end of the load generator             orders     what passes between the two
    load        the generator's process                             phases     everything that can be ordered from it
    scripts     what one caller does, request by request            openloop   the same at a fixed rate (ticking: its clock)
    playing     connections, scripts and meters                     wire, peerwire    cheap clients

    processes, disk, machine, files, figures                        what the kernel, the disk and arithmetic have to say
    lone, pythonpeers           one caller alone; queues for Python (peersenv: their packages)
    actors, callers/            the harness's end of callers that are processes of their own, and these
    systemcalls                 counted in phases of their own

    summary, goals, report, chart, pages, …page                     the runs together, what is promised, and how it is shown
"""
