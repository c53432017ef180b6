"""What is said and what is answered, as beanstalkd 1.12 does it. Each script is run at Debian's beanstalkd and at Holdfast: both must agree with it.

See `script.py` for how it is written down. Only `INSERTED` differs: beanstalkd leaves an id out where a body was refused.
"""

Step = tuple[str, str, str]
MOST = (1 << 32) - 1
STATS_JOB = (
    "---\nid: <{id}>\ntube: {{t}}\nstate: {state}\npri: {pri}\nage: <#>\ndelay: {delay}\nttr: {ttr}\ntime-left: {left}\nfile: 0\n"
    "reserves: {reserves}\ntimeouts: {timeouts}\nreleases: {releases}\nburies: {buries}\nkicks: {kicks}\n\r\n"
)


def stats_job(
    name: str, state: str, pri: int = 0, delay: int = 0, ttr: int = 60, left: int | str = "<#>", **counts: int
) -> str:
    """The page of one job, with its head; every count that is not named is 0."""
    zero = dict.fromkeys(("reserves", "timeouts", "releases", "buries", "kicks"), 0)
    text = STATS_JOB.format(id=name, state=state, pri=pri, delay=delay, ttr=ttr, left=left, **(zero | counts))
    return "OK <#>\r\n" + text


SCRIPTS: dict[str, list[Step]] = {
    "a job is put, reserved and deleted": [
        ("a", "put 7 0 60 3\r\nabc\r\n", "INSERTED <j>\r\n"),
        ("a", "reserve\r\n", "RESERVED <j> 3\r\nabc\r\n"),
        ("a", "delete <j>\r\n", "DELETED\r\n"),
        ("a", "delete <j>\r\n", "NOT_FOUND\r\n"),
        ("a", "peek <j>\r\n", "NOT_FOUND\r\n"),
        ("a", "stats-job <j>\r\n", "NOT_FOUND\r\n"),
        ("a", "kick-job <j>\r\n", "NOT_FOUND\r\n"),
        ("a", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
    ],
    "a body is bytes, whatever they are": [
        ("a", "put 0 0 60 0\r\n\r\n", "INSERTED <e>\r\n"),
        ("a", "reserve\r\n", "RESERVED <e> 0\r\n\r\n"),
        ("a", "put 0 0 60 8\r\n\0\xff\r\n\r\n\n\r\r\n", "INSERTED <j>\r\n"),
        ("a", "reserve\r\n", "RESERVED <j> 8\r\n\0\xff\r\n\r\n\n\r\r\n"),
    ],
    "the lowest priority comes first, over all watched tubes, and then the oldest job": [
        ("a", "put 5 0 60 1\r\na\r\nput 3 0 60 1\r\nb\r\n", "INSERTED <a>\r\nINSERTED <b>\r\n"),
        ("a", "use {t}x\r\nput 4 0 60 1\r\nc\r\nput 3 0 60 1\r\nd\r\nuse {t}\r\n", "USING {t}x\r\nINSERTED <c>\r\nINSERTED <d>\r\nUSING {t}\r\n"),
        ("a", "watch {t}x\r\n", "WATCHING 2\r\n"),
        ("a", "reserve\r\n" * 4, "RESERVED <b> 1\r\nb\r\nRESERVED <d> 1\r\nd\r\nRESERVED <c> 1\r\nc\r\nRESERVED <a> 1\r\na\r\n"),
    ],
    "a body that is too big is read and thrown away": [
        ("a", "put 0 0 60 1048577\r\n" + "x" * 1_048_577 + "\r\nput 0 0 60 1\r\ny\r\n", "JOB_TOO_BIG\r\nINSERTED <j>\r\n"),
        ("a", "put 0 0 60 1048576\r\n" + "x" * 1_048_576 + "\r\n", "INSERTED <k>\r\n"),
        ("a", "put 0 0 60 1048577 z\r\n" + "x" * 1_048_577 + "\r\nput 0 0 60 1\r\ny\r\n", "JOB_TOO_BIG\r\nINSERTED <l>\r\n"),
    ],
    "a body that does not end where it should is refused, and what follows is a command": [
        ("a", "put 0 0 60 3\r\nabcdef\r\n", "EXPECTED_CRLF\r\nUNKNOWN_COMMAND\r\n"),
        ("a", "put 0 0 60 3\r\nabcde", "EXPECTED_CRLF\r\n"),
        ("a", "\r\nreserve-with-timeout 0\r\n", "UNKNOWN_COMMAND\r\nTIMED_OUT\r\n"),
    ],
    "a put line that makes no sense has no body": [
        ("a", "put 0 0 60 1 1\r\ny\r\n", "BAD_FORMAT\r\nUNKNOWN_COMMAND\r\n"),
        ("a", "put 0 0 60\r\nlist-tube-used\r\n", "BAD_FORMAT\r\nUSING {t}\r\n"),
    ],
    "release gives a job back with a priority and a delay": [
        ("a", "put 9 0 60 1\r\na\r\nput 8 0 60 1\r\nb\r\n", "INSERTED <a>\r\nINSERTED <b>\r\n"),
        ("a", "reserve\r\n", "RESERVED <b> 1\r\nb\r\n"),
        ("a", "release <b> 10 0\r\n", "RELEASED\r\n"),
        ("a", "release <b> 10 0\r\n", "NOT_FOUND\r\n"),
        ("a", "stats-job <b>\r\n", stats_job("b", "ready", 10, reserves=1, releases=1)),
        ("a", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "release <a> 1 100\r\n", "RELEASED\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "delayed", 1, 100, reserves=1, releases=1)),
        ("a", "peek-delayed\r\n", "FOUND <a> 1\r\na\r\n"),
        ("a", "peek-ready\r\n", "FOUND <b> 1\r\nb\r\n"),
        ("a", "kick 10\r\n", "KICKED 1\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "ready", 1, 100, reserves=1, releases=1, kicks=1)),
    ],
    "bury sets a job aside, and kick brings back those buried first, in the order of their burial": [
        ("a", "put 5 0 60 1\r\na\r\nput 6 0 60 1\r\nb\r\nput 7 50 60 1\r\nc\r\n", "INSERTED <a>\r\nINSERTED <b>\r\nINSERTED <c>\r\n"),
        ("a", "reserve\r\nreserve\r\n", "RESERVED <a> 1\r\na\r\nRESERVED <b> 1\r\nb\r\n"),
        ("a", "bury <b> 1\r\n", "BURIED\r\n"),
        ("a", "peek-buried\r\n", "FOUND <b> 1\r\nb\r\n"),
        ("a", "bury <a> 0\r\n", "BURIED\r\n"),
        ("a", "bury <a> 0\r\n", "NOT_FOUND\r\n"),
        ("a", "peek-buried\r\n", "FOUND <b> 1\r\nb\r\n"),
        ("a", "stats-job <b>\r\n", stats_job("b", "buried", 1, reserves=1, buries=1)),
        ("a", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
        ("a", "kick 1\r\n", "KICKED 1\r\n"),
        ("a", "stats-job <b>\r\n", stats_job("b", "ready", 1, reserves=1, buries=1, kicks=1)),
        ("a", "kick 10\r\n", "KICKED 1\r\n"),
        ("a", "peek-delayed\r\n", "FOUND <c> 1\r\nc\r\n"),
        ("a", "kick 10\r\n", "KICKED 1\r\n"),
        ("a", "kick 10\r\n", "KICKED 0\r\n"),
        ("a", "reserve\r\nreserve\r\nreserve\r\n", "RESERVED <a> 1\r\na\r\nRESERVED <b> 1\r\nb\r\nRESERVED <c> 1\r\nc\r\n"),
    ],
    "kick is of the used tube, kick-job of any": [
        ("a", "put 0 50 60 1\r\na\r\nput 0 0 60 1\r\nb\r\n", "INSERTED <a>\r\nINSERTED <b>\r\n"),
        ("a", "use {t}y\r\nkick 1\r\n", "USING {t}y\r\nKICKED 0\r\n"),
        ("a", "kick-job <b>\r\n", "NOT_FOUND\r\n"),
        ("a", "kick-job <a>\r\n", "KICKED\r\n"),
        ("a", "kick-job <a>\r\nuse {t}\r\n", "NOT_FOUND\r\nUSING {t}\r\n"),
        ("a", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "kick-job <a>\r\n", "NOT_FOUND\r\n"),
        ("a", "bury <a> 0\r\nkick-job <a>\r\nreserve\r\n", "BURIED\r\nKICKED\r\nRESERVED <a> 1\r\na\r\n"),
    ],
    "anybody may delete what nobody has reserved": [
        ("a", "put 0 0 60 1\r\na\r\nput 0 90 60 1\r\nb\r\nput 1 0 60 1\r\nc\r\n", "INSERTED <a>\r\nINSERTED <b>\r\nINSERTED <c>\r\n"),
        ("a", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("b", "delete <a>\r\n", "NOT_FOUND\r\n"),
        ("b", "release <a> 0 0\r\nbury <a> 0\r\ntouch <a>\r\n", "NOT_FOUND\r\n" * 3),
        ("a", "bury <a> 0\r\n", "BURIED\r\n"),
        ("b", "delete <a>\r\ndelete <b>\r\ndelete <c>\r\n", "DELETED\r\n" * 3),
        ("b", "delete <a>\r\ndelete <b>\r\ndelete <c>\r\n", "NOT_FOUND\r\n" * 3),
        ("b", "peek-ready\r\npeek-delayed\r\npeek-buried\r\n", "NOT_FOUND\r\n" * 3),
    ],
    "reserve-job takes a job by its id, be it ready, delayed or buried": [
        ("a", "put 0 0 60 1\r\na\r\nput 0 90 60 1\r\nb\r\nput 1 0 60 1\r\nc\r\n", "INSERTED <a>\r\nINSERTED <b>\r\nINSERTED <c>\r\n"),
        ("a", "reserve-job <c>\r\n", "RESERVED <c> 1\r\nc\r\n"),
        ("b", "reserve-job <c>\r\n", "NOT_FOUND\r\n"),
        ("a", "reserve-job <b>\r\n", "RESERVED <b> 1\r\nb\r\n"),
        ("a", "release <b> 5 0\r\n", "RELEASED\r\n"),
        ("a", "stats-job <b>\r\n", stats_job("b", "ready", 5, reserves=1, releases=1)),
        ("a", "bury <c> 3\r\nreserve-job <c>\r\n", "BURIED\r\nRESERVED <c> 1\r\nc\r\n"),
        ("a", "stats-job <c>\r\n", stats_job("c", "reserved", 3, reserves=2, buries=1)),
        ("a", "delete <c>\r\n", "DELETED\r\n"),
        ("a", "reserve\r\nreserve-with-timeout 0\r\n", "RESERVED <a> 1\r\na\r\nRESERVED <b> 1\r\nb\r\n"),
    ],
    "touch is for the holder": [
        ("a", "put 0 0 60 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "touch <a>\r\n", "NOT_FOUND\r\n"),
        ("a", "reserve\r\ntouch <a>\r\n", "RESERVED <a> 1\r\na\r\nTOUCHED\r\n"),
        ("b", "touch <a>\r\n", "NOT_FOUND\r\n"),
    ],
    "what a connection has reserved is ready again when it closes, and no timeout is counted": [
        ("a", "put 3 0 60 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("b", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("b", "CLOSE", ""),
        ("a", "reserve-with-timeout 5\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "reserved", 3, reserves=2)),
        ("c", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
        ("a", "quit\r\n", "GONE"),
        ("c", "reserve-with-timeout 5\r\n", "RESERVED <a> 1\r\na\r\n"),
    ],
    "DEADLINE_SOON is said in the last second, unless a job is ready": [
        ("a", "put 0 0 1 1\r\na\r\nput 1 0 60 1\r\nb\r\n", "INSERTED <a>\r\nINSERTED <b>\r\n"),
        ("a", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "reserve-with-timeout 0\r\n", "RESERVED <b> 1\r\nb\r\n"),
        ("a", "reserve\r\n", "DEADLINE_SOON\r\n"),
        ("a", "reserve-with-timeout 0\r\n", "DEADLINE_SOON\r\n"),
        ("b", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
        ("a", "touch <a>\r\ndelete <a>\r\n", "TOUCHED\r\nDELETED\r\n"),
        ("a", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
    ],
    "DEADLINE_SOON ends a reserve that waits": [
        ("a", "put 0 0 2 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "reserve\r\nreserve\r\nlist-tube-used\r\n", "RESERVED <a> 1\r\na\r\nDEADLINE_SOON\r\nUSING {t}\r\n"),
        ("a", "delete <a>\r\n", "DELETED\r\n"),
    ],
    "a job whose time to run is up is ready again, and the timeout is counted": [
        ("a", "put 0 0 1 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("b", "reserve-with-timeout 8\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "release <a> 0 0\r\n", "NOT_FOUND\r\n"),
        ("a", "delete <a>\r\n", "NOT_FOUND\r\n"),
        ("b", "touch <a>\r\nstats-job <a>\r\n", "TOUCHED\r\n" + stats_job("a", "reserved", ttr=1, reserves=2, timeouts=1)),
        ("b", "delete <a>\r\n", "DELETED\r\n"),
    ],
    "a time to run of 0 is one second": [
        ("a", "put 0 0 0 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "ready", ttr=1)),
    ],
    "a delayed job comes when its time has come": [
        ("a", "put 0 1 60 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "delayed", delay=1)),
        ("a", "reserve-with-timeout 0\r\n", "TIMED_OUT\r\n"),
        ("a", "reserve-with-timeout 8\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "reserved", delay=1, reserves=1)),
    ],
    "a paused tube takes and gives nothing, until its time is up or it is told": [
        ("a", "pause-tube {t} 100\r\n", "PAUSED\r\n"),
        ("a", "put 0 0 60 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "peek-ready\r\nreserve-with-timeout 0\r\n", "FOUND <a> 1\r\na\r\nTIMED_OUT\r\n"),
        ("b", "reserve-with-timeout 9\r\n", ""),
        ("a", "pause-tube {t} 0\r\n", "PAUSED\r\n"),
        ("b", "", "RESERVED <a> 1\r\na\r\n"),
        ("b", "release <a> 0 0\r\n", "RELEASED\r\n"),
        ("a", "pause-tube {t} 1\r\nreserve-with-timeout 0\r\n", "PAUSED\r\nTIMED_OUT\r\n"),
        ("a", "reserve-with-timeout 9\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", "pause-tube {t}nope 0\r\n", "NOT_FOUND\r\n"),
    ],
    "reserve-job takes from a paused tube too": [
        ("a", "put 0 0 60 1\r\na\r\npause-tube {t} 100\r\n", "INSERTED <a>\r\nPAUSED\r\n"),
        ("a", "reserve-job <a>\r\n", "RESERVED <a> 1\r\na\r\n"),
    ],
    "watching and ignoring": [
        ("a", "ignore {t}\r\n", "NOT_IGNORED\r\n"),
        ("a", "ignore {t}z\r\n", "WATCHING 1\r\n"),
        ("a", "watch {t}\r\nwatch {t}a\r\nwatch {t}b\r\nwatch {t}c\r\n", "WATCHING 1\r\nWATCHING 2\r\nWATCHING 3\r\nWATCHING 4\r\n"),
        ("a", "ignore {t}a\r\nlist-tubes-watched\r\n", "WATCHING 3\r\nOK <#>\r\n---\n- {t}\n- {t}c\n- {t}b\n\r\n"),
        ("a", "list-tube-used\r\n", "USING {t}\r\n"),
    ],
    "a tube is there while it is used, watched or not empty": [
        ("a", "stats-tube {t}q\r\n", "NOT_FOUND\r\n"),
        ("a", "use {t}q\r\nput 0 0 60 1\r\na\r\nuse {t}\r\n", "USING {t}q\r\nINSERTED <a>\r\nUSING {t}\r\n"),
        (
            "a",
            "stats-tube {t}q\r\n",
            ("OK <#>\r\n---\nname: {t}q\ncurrent-jobs-urgent: 1\ncurrent-jobs-ready: 1\ncurrent-jobs-reserved: 0\n"
            "current-jobs-delayed: 0\ncurrent-jobs-buried: 0\ntotal-jobs: 1\ncurrent-using: 0\ncurrent-watching: 0\n"
            "current-waiting: 0\ncmd-delete: 0\ncmd-pause-tube: 0\npause: 0\npause-time-left: 0\n\r\n"),
        ),
        ("a", "delete <a>\r\nstats-tube {t}q\r\n", "DELETED\r\nNOT_FOUND\r\n"),
        ("a", "watch {t}q\r\n", "WATCHING 2\r\n"),
        ("a", "pause-tube {t}q 5\r\n", "PAUSED\r\n"),
        ("a", "ignore {t}q\r\nstats-tube {t}q\r\n", "WATCHING 1\r\nNOT_FOUND\r\n"),
    ],
    "urgent jobs are those below 1024": [
        ("a", "put 1023 0 60 1\r\na\r\nput 1024 0 60 1\r\nb\r\nput 0 9 60 1\r\nc\r\n", "INSERTED <a>\r\nINSERTED <b>\r\nINSERTED <c>\r\n"),
        ("b", "reserve\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("b", "bury <a> 0\r\nput 5 0 60 1\r\nd\r\n", "BURIED\r\nINSERTED <d>\r\n"),
        (
            "a",
            "stats-tube {t}\r\n",
            ("OK <#>\r\n---\nname: {t}\ncurrent-jobs-urgent: 1\ncurrent-jobs-ready: 2\ncurrent-jobs-reserved: 0\n"
            "current-jobs-delayed: 1\ncurrent-jobs-buried: 1\ntotal-jobs: 4\ncurrent-using: 2\ncurrent-watching: 2\n"
            "current-waiting: 0\ncmd-delete: 0\ncmd-pause-tube: 0\npause: 0\npause-time-left: 0\n\r\n"),
        ),
    ],
    "commands behind a reserve that waits are answered after it": [
        ("a", "reserve\r\nuse {t}w\r\nlist-tube-used\r\nuse {t}\r\n", ""),
        ("b", "put 0 0 60 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "", "RESERVED <a> 1\r\na\r\nUSING {t}w\r\nUSING {t}w\r\nUSING {t}\r\n"),
    ],
    "commands that come together see each other in their order": [
        ("a", "put 0 0 60 1\r\na\r\nreserve\r\nput 0 0 60 1\r\nb\r\nreserve-with-timeout 0\r\nreserve-with-timeout 0\r\n",
         "INSERTED <a>\r\nRESERVED <a> 1\r\na\r\nINSERTED <b>\r\nRESERVED <b> 1\r\nb\r\nTIMED_OUT\r\n"),
        ("a", "release <a> 0 0\r\nrelease <b> 1 0\r\nreserve\r\nreserve\r\npeek-ready\r\n",
         "RELEASED\r\nRELEASED\r\nRESERVED <a> 1\r\na\r\nRESERVED <b> 1\r\nb\r\nNOT_FOUND\r\n"),
        ("a", "delete <a>\r\ndelete <b>\r\ndelete <a>\r\nput 0 0 60 1\r\nc\r\npeek <b>\r\npeek-ready\r\n",
         "DELETED\r\nDELETED\r\nNOT_FOUND\r\nINSERTED <c>\r\nNOT_FOUND\r\nFOUND <c> 1\r\nc\r\n"),
        ("a", "reserve\r\nbury <c> 9\r\nkick 1\r\nreserve\r\ntouch <c>\r\ndelete <c>\r\nreserve-with-timeout 0\r\n",
         "RESERVED <c> 1\r\nc\r\nBURIED\r\nKICKED 1\r\nRESERVED <c> 1\r\nc\r\nTOUCHED\r\nDELETED\r\nTIMED_OUT\r\n"),
    ],
    "puts that come together keep their order": [
        ("a", "".join(f"put 0 0 60 2\r\n{n:02}\r\n" for n in range(16)), "".join(f"INSERTED <j{n}>\r\n" for n in range(16))),
        ("a", "reserve\r\n" * 16, "".join(f"RESERVED <j{n}> 2\r\n{n:02}\r\n" for n in range(16))),
    ],
    "one who sends nothing more is answered, and does not wait": [
        ("a", "put 0 0 60 1\r\na\r\nreserve\r\nreserve\r\nlist-tube-used\r\nuse unfinished", ""),
        ("a", "HALF", "INSERTED <a>\r\nRESERVED <a> 1\r\na\r\nTIMED_OUT\r\nUSING {t}\r\n"),
        ("a", "", "GONE"),
        ("b", "reserve-with-timeout 5\r\n", "RESERVED <a> 1\r\na\r\n"),
    ],
    "names of tubes stand bare in lists, whatever they are": [
        ("a", "watch {t}+b/c;$1\r\nwatch {t}.0\r\nwatch true\r\nwatch 12\r\nwatch 1.5e3\r\nwatch $(x)\r\n",
         "".join(f"WATCHING {n}\r\n" for n in range(2, 8))),
        ("a", "list-tubes-watched\r\n", "OK <#>\r\n---\n- {t}\n- {t}+b/c;$1\n- {t}.0\n- true\n- 12\n- 1.5e3\n- $(x)\n\r\n"),
        ("a", "ignore true\r\nignore 12\r\nignore 1.5e3\r\nignore $(x)\r\n", "".join(f"WATCHING {n}\r\n" for n in (6, 5, 4, 3))),
    ],
    "the time that is left is less than the whole from the first moment on": [
        ("a", "put 0 0 60 1\r\na\r\nput 0 90 7 1\r\nb\r\nput 1 0 1 1\r\nc\r\n", "INSERTED <a>\r\nINSERTED <b>\r\nINSERTED <c>\r\n"),
        ("a", "reserve\r\nstats-job <a>\r\n", "RESERVED <a> 1\r\na\r\n" + stats_job("a", "reserved", left=59, reserves=1)),
        ("a", "stats-job <b>\r\n", stats_job("b", "delayed", delay=90, ttr=7, left=89)),
        ("a", "stats-job <c>\r\n", stats_job("c", "ready", 1, ttr=1, left=0)),
        ("a", "reserve\r\nstats-job <c>\r\n", "RESERVED <c> 1\r\nc\r\n" + stats_job("c", "reserved", 1, ttr=1, left=0, reserves=1)),
        ("a", "touch <a>\r\nstats-job <a>\r\n", "TOUCHED\r\n" + stats_job("a", "reserved", left=59, reserves=1)),
        ("a", "release <a> 0 33\r\nstats-job <a>\r\n", "RELEASED\r\n" + stats_job("a", "delayed", delay=33, left=32, reserves=1, releases=1)),
        ("a", "bury <c> 0\r\nstats-job <c>\r\n", "BURIED\r\n" + stats_job("c", "buried", ttr=1, left=0, reserves=1, buries=1)),
    ],
    "every priority, delay and time to run of 32 bits is kept as it is": [
        ("a", f"put {MOST} {MOST} {MOST} 1\r\na\r\n", "INSERTED <a>\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "delayed", MOST, MOST, MOST, left=MOST - 1)),
        ("a", "peek-delayed\r\nkick 1\r\nreserve\r\n", "FOUND <a> 1\r\na\r\nKICKED 1\r\nRESERVED <a> 1\r\na\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "reserved", MOST, MOST, MOST, left=MOST - 1, reserves=1, kicks=1)),
        ("a", f"touch <a>\r\nrelease <a> {MOST} {MOST}\r\n", "TOUCHED\r\nRELEASED\r\n"),
        ("a", "stats-job <a>\r\n", stats_job("a", "delayed", MOST, MOST, MOST, left=MOST - 1, reserves=1, releases=1, kicks=1)),
        ("a", "reserve-job <a>\r\n", "RESERVED <a> 1\r\na\r\n"),
        ("a", f"bury <a> {MOST}\r\nkick-job <a>\r\n", "BURIED\r\nKICKED\r\n"),
        ("a", f"pause-tube {{t}} {MOST}\r\nreserve-with-timeout 0\r\n", "PAUSED\r\nTIMED_OUT\r\n"),
        ("a", "pause-tube {t} 0\r\nreserve\r\n", "PAUSED\r\nRESERVED <a> 1\r\na\r\n"),
        ("a", f"put 0 {MOST // 2} 2592001 1\r\nb\r\n", "INSERTED <b>\r\n"),
        ("a", "stats-job <b>\r\n", stats_job("b", "delayed", 0, MOST // 2, 2592001, left=MOST // 2 - 1)),
        ("a", "put 007 00 0060 001\r\nc\r\nreserve-with-timeout 00\r\n", "INSERTED <c>\r\nRESERVED <c> 1\r\nc\r\n"),
    ],
    "tubes of 200 bytes, of whatever signs": [
        step
        for mark, name in {"a": "{t}" + "a" * 190, "b": "{t}" + "/" * 190, "c": "{t}" + "+/;.$_()-" * 21}.items()
        for step in [
            ("a", f"use {name}\r\nput 0 0 60 1\r\na\r\nuse {{t}}\r\n", f"USING {name}\r\nINSERTED <{mark}>\r\nUSING {{t}}\r\n"),
            ("a", f"watch {name}\r\nreserve\r\n", f"WATCHING 2\r\nRESERVED <{mark}> 1\r\na\r\n"),
            ("a", f"list-tubes-watched\r\npause-tube {name} 1\r\n", f"OK <#>\r\n---\n- {{t}}\n- {name}\n\r\nPAUSED\r\n"),
            ("a", f"delete <{mark}>\r\nignore {name}\r\nstats-tube {name}\r\n", "DELETED\r\nWATCHING 1\r\nNOT_FOUND\r\n"),
        ]
    ],
    "a line that is too long is one BAD_FORMAT, also in pieces": [
        ("a", "a" * 222 + "\r\n", "UNKNOWN_COMMAND\r\n"),
        ("a", "use " + "a" * 500 + "\r\nlist-tube-used\r\n", "BAD_FORMAT\r\nUSING {t}\r\n"),
        ("a", "b" * 224, ""),
        ("a", "b" * 3_000, ""),
        ("a", "\r\nlist-tube-used\r\n", "BAD_FORMAT\r\nUSING {t}\r\n"),
    ],
}  # fmt: skip

BAD, UNKNOWN, MISSING = "BAD_FORMAT", "UNKNOWN_COMMAND", "NOT_FOUND"
LINES: dict[str, str] = {
    "": UNKNOWN, "x": UNKNOWN, " stats": UNKNOWN, "PUT 0 0 60 1": UNKNOWN, "put": UNKNOWN, "kick": UNKNOWN, "peek": UNKNOWN,
    "touch": UNKNOWN, "delete": UNKNOWN, "watch": UNKNOWN, "use": UNKNOWN, "ignore": UNKNOWN, "release": UNKNOWN, "bury": UNKNOWN,
    "put 1": BAD, "put 1 2 3": BAD, "put -1 0 60 1": BAD, "put 0 -1 60 1": BAD, "put 0 0 +60 1": BAD, "put 10b 0 60 1": BAD,
    "put 0 0 60 1b": BAD, "put 4294967296 0 60 1": BAD, "put 0 4294967296 60 1": BAD, "put 0 0 4294967296 1": BAD,
    "put 0 0 60 4294967296": BAD, "put 0 0 60 1 ": BAD, "put a": BAD, "put ,0 0 60 1": BAD,
    "stats ": BAD, "statsx": BAD, "stats-job": BAD, "stats-job x": BAD, "stats-job 1 ": BAD, "stats-tube": BAD, "stats-tube ": BAD,
    "stats-tube -x": BAD, "stats-tube nobody": MISSING, "stats-job 9007199254740993": MISSING, "stats-job 0": MISSING,
    "reservex": BAD, "reserve ": BAD, "reserve-with-timeout": BAD, "reserve-with-timeout 99999999999999999999": BAD,
    "reserve-job": BAD, "reserve-job ": BAD, "reserve-job x": BAD, "reserve-job 9007199254740993": MISSING,
    "delete x": BAD, "delete 1 ": BAD, "delete -1": BAD, "delete +1": BAD, "delete  18446744073709551615": MISSING,
    "delete 18446744073709551616": BAD, "release 1": BAD, "release 1 1": BAD, "release 9007199254740993 1 1": MISSING,
    "release 1 1 1 1": BAD, "release 1 4294967296 1": BAD, "release 18446744073709551615 4294967295 4294967295": MISSING,
    "bury 1": BAD, "bury 9007199254740993 1": MISSING, "bury 1 1 1": BAD, "bury 1 -1": BAD,
    "touch x": BAD, "touch 9007199254740993": MISSING, "touch 1 1": BAD, "touch 18446744073709551616": BAD,
    "peek x": BAD, "peek ": BAD, "peek 9007199254740993": MISSING, "peek-readyx": BAD, "peek-delayed ": BAD, "peek-buried x": BAD,
    "peek-ready": MISSING, "peek-delayed": MISSING, "peek-buried": MISSING,
    "kick ": BAD, "kick x": BAD, "kick 1x": "KICKED 0", "kick -1": "KICKED 0", "kick +1": "KICKED 0", "kick  7 8": "KICKED 0",
    "kick 99999999999999999999999": BAD, "kick-job": UNKNOWN, "kick-job x": BAD, "kick-job 9007199254740993": MISSING,
    "use ": BAD, "use -a": BAD, "use a b": BAD, "use a\0b": BAD, "use a\xe9": BAD, "use " + "a" * 201: BAD, "stats\0": BAD,
    "use a:b": BAD, "use a=b": BAD, "watch ": BAD, "watch -x": BAD, "watch a b": BAD, "ignore ": BAD, "ignore -x": BAD,
    "list-tubesx": BAD, "list-tube-used ": BAD, "list-tubes-watched ": BAD, "list-tube": UNKNOWN,
    "pause-tube": BAD, "pause-tube ": BAD, "pause-tube x": BAD, "pause-tube x x": BAD, "pause-tube nobody 0": MISSING,
    "pause-tube x 4294967296": BAD, "pause-tube -x 1": BAD, "pause-tube a=b 1": BAD, "pause-tube x 1 ": BAD,
    "STATS": UNKNOWN, "RESERVE": UNKNOWN, "QUIT": UNKNOWN, "PUT": UNKNOWN, "get x": UNKNOWN, "Get": UNKNOWN,
    "use " + "a" * 200: "USING " + "a" * 200, "use " + "/" * 200: "USING " + "/" * 200, "use .": "USING .", "use ..": "USING ..",
}  # fmt: skip

STRICTER: dict[str, str] = {
    f"reserve-with-timeout {text}": "TIMED_OUT"
    for text in ("", "x", "0x", "+0", "0.5", "0e3", "0 ", "0 2", "-0", "\t0", "0_0", "0,5", "0x0", " ", "nan", "\xb2")
}  # fmt: skip
"""What beanstalkd 1.12 takes as some number of seconds, with its answer. Here each is BAD_FORMAT."""
