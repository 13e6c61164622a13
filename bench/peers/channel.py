"""The child's side of a peer in Python: commands as lines of JSON on stdin, answers on file descriptor 3."""
import json
import os
import sys


def peak_rss():
    """Most memory resident so far; ru_maxrss would start at that of the parent process."""
    with open("/proc/self/status", encoding="ascii") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def serve(child, commands):
    """Answers each command with what the method of its name returns; ends at `exit`. `commands`: their names."""
    with os.fdopen(3, "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            child.wake()
            command = json.loads(line)
            if command["cmd"] == "exit":
                break
            try:
                if command["cmd"] not in commands:
                    raise ValueError(f"unknown command {command['cmd']}")
                message = {"ok": getattr(child, command["cmd"])(command)}
            except Exception as error:  # the parent reports it and continues without this peer
                message = {"error": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(message) + "\n")
            answers.flush()
            child.sleep()
