# SPDX-License-Identifier: GPL-3.0-or-later
"""Output of a run on many hosts: one line for each task, and a table of the changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lvs_summary
type: stdout
short_description: Short output of a run on many hosts
version_added: "1.0.0"
description:
  - Prints a line for each play and each task, with the number of hosts that were ok, changed, unreachable or failed. Plays and
    tasks that do nothing print nothing. Batches of a play (C(serial)) are combined, unless a host fails.
  - A message, warning or difference that several hosts have in common is printed once, with the names of the hosts.
  - A failure of a task with C(run_once), or of one whose result has C(environment=true), concerns all hosts and is not
    printed or counted as the failure of a host.
  - A long task shows how many hosts have finished, on a terminal as a counter, otherwise as a line after
    ten seconds and more lines at intervals that grow to a minute.
  - Prints the totals at the end in one line, and a table of the changes and failures with their hosts. A change is shown as the
    commands in the result C(commands) of the task (a list), otherwise as the task's name.
  - With C(-v) prints everything like M(ansible.builtin.default).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout_callback in the configuration
author: lvskit
"""

import atexit
import os
import sys
import textwrap
from collections import Counter
from functools import wraps
from pathlib import Path

import ansible.module_utils
from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.progress import Progress
from ansible.module_utils.lvs_controller.recap import Recap, table
from ansible.module_utils.lvs_controller.task_results import TaskResults, counted

MESSAGES = 20  # different ones of a task that are printed
NARROWEST = 160  # columns of the table where the output is no terminal
OWN_PACE = ("free", "host_pinned")  # strategies by which hosts do not wait for each other
PROMPTS = ("pause",)
OUTPUT = ("module_stderr", "stderr", "module_stdout", "stdout")
NOT_DEBUGS = ("changed", "failed", "skipped", "invocation", "warnings", "deprecations", "exception")
COLORS = {  # a line has the colour of its worst outcome
    "FAILED": C.COLOR_ERROR,
    "UNREACHABLE": C.COLOR_UNREACHABLE,
    "ignored": C.COLOR_WARN,
    "changed": C.COLOR_CHANGED,
    "ok": C.COLOR_OK,
    "skipped": C.COLOR_SKIP,
}


def unless_verbose(method):
    """With -v, what Ansible's default callback does."""
    default = getattr(Default, method.__name__)

    @wraps(method)
    def chosen(self, *arguments, **named):
        return (default if self._display.verbosity else method)(self, *arguments, **named)

    return chosen


def silent(name):
    """Prints nothing of an event unless with -v."""

    def nothing(self, *arguments, **named):
        pass

    nothing.__name__ = name
    return unless_verbose(nothing)


class CallbackModule(Default):
    """Collects the results of a task, and prints them when it is over."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lvs_summary"

    def __init__(self):
        super().__init__()
        self._progress = Progress(self._write, terminal=sys.stdout.isatty())
        self._begin_run()

    def _begin_run(self):
        self._recap = Recap()
        self._uuid = None  # the play's
        self._title, self._titled = "", False
        self._hosts = 0  # of the play, whatever its batches
        self._gone = 0  # those of them that failed
        self._batches = self._own_pace = False
        self._results = {}  # by key, in the order of the tasks
        self._keys = {}  # by the task's uuid, in this batch
        self._seen = Counter()  # how often this batch had a task of this place and name
        self._current = None
        self._failed_items = {}  # messages, by task and host, until the loop is over
        self._warned = set()
        self._deprecations = {}  # by message

    # Plays and tasks

    @unless_verbose
    def v2_playbook_on_start(self, playbook):
        super().v2_playbook_on_start(playbook)
        self._begin_run()
        self._progress.run()
        atexit.register(self._print_what_is_left, os.getpid())

    @unless_verbose
    def v2_playbook_on_play_start(self, play):
        self._finish_task()
        another = play._uuid != self._uuid
        if another:
            self._print_results()
        variables = play.get_variable_manager().get_vars(play=play)
        self._uuid, self._play = play._uuid, play
        self._keys, self._seen = {}, Counter()
        self._hosts = len(variables["ansible_play_hosts_all"])
        self._batches = len(variables["ansible_play_batch"]) < len(variables["ansible_play_hosts"])
        self._own_pace = play.strategy.rpartition(".")[2] in OWN_PACE
        if another:
            self._gone, self._titled = 0, False
            self._title = f"PLAY [{play.get_name().strip()}] {counted(self._hosts, 'host')}{self._marker(play)}"

    @unless_verbose
    def v2_playbook_on_task_start(self, task, is_conditional):
        self._begin_task(task)

    @unless_verbose
    def v2_playbook_on_handler_task_start(self, task):
        self._begin_task(task)

    @unless_verbose
    def v2_playbook_on_no_hosts_remaining(self):
        self._finish_task()

    @unless_verbose
    def v2_playbook_on_stats(self, stats):
        self._finish_task()
        self._print_results()
        self._progress.stop()
        self._recap.forgive({host for host in stats.processed if stats.summarize(host)["failures"]})
        self._print_recap(stats)
        self._begin_run()

    # Results

    @unless_verbose
    def v2_runner_on_ok(self, result):
        if isinstance(result.task, TaskInclude):
            return
        results, host = self._results_of(result), self.host_label(result)
        changed = result.is_changed()
        results.add(host, "changed" if changed else "ok")
        if changed:
            self._note_change(result, results)
        if self._action(result.task) == "debug":
            for text in map(self._debugged, self._items(result)):
                results.messages.add(host, text)
        self._note_warnings(result, results)
        self._progress.advance()

    @unless_verbose
    def v2_runner_on_skipped(self, result):
        results = self._results_of(result)
        results.add(self.host_label(result), "skipped")
        self._note_warnings(result, results)
        self._progress.advance()

    @unless_verbose
    def v2_runner_on_failed(self, result, ignore_errors=False):
        items = self._failed_items.pop((result.task._uuid, result.host.get_name()), ())
        results, text = self._results_of(result), "\n".join(items) or self._reason(result.result)
        if result.is_changed():
            self._note_change(result, results)
        if not ignore_errors:
            self._record(result, results).failure = text
        self._note_trouble(result, results, "ignored" if ignore_errors else "FAILED", text)

    @unless_verbose
    def v2_runner_on_unreachable(self, result):
        results, text = self._results_of(result), self._reason(result.result)
        results.once = False  # an unreachable host counts for itself, also in a task that runs once
        if not result.task.ignore_unreachable:
            self._recap.of(result.host.get_name()).unreachable = text
        self._note_trouble(result, results, "UNREACHABLE", text)

    @unless_verbose
    def v2_on_file_diff(self, result):
        results = self._results_of(result)
        for one in self._items(result):
            if one.get("diff") and one.get("changed") and (text := self._get_diff(one["diff"])):
                results.diffs.add(self.host_label(result), text)

    @unless_verbose
    def v2_runner_item_on_ok(self, result):
        self._note_warnings(result, self._results_of(result))

    @unless_verbose
    def v2_runner_item_on_failed(self, result):
        text = f"{self._get_item_label(result.result)}: {self._reason(result.result)}"
        self._failed_items.setdefault((result.task._uuid, result.host.get_name()), []).append(text)
        self._note_warnings(result, self._results_of(result))

    v2_playbook_on_no_hosts_matched = silent("v2_playbook_on_no_hosts_matched")
    v2_playbook_on_include = silent("v2_playbook_on_include")
    v2_runner_item_on_skipped = silent("v2_runner_item_on_skipped")
    v2_runner_retry = silent("v2_runner_retry")
    v2_runner_on_async_poll = silent("v2_runner_on_async_poll")
    v2_runner_on_async_ok = silent("v2_runner_on_async_ok")
    v2_runner_on_async_failed = silent("v2_runner_on_async_failed")

    # Collecting

    def _begin_task(self, task):
        self._finish_task()
        self._current = self._results_for(task)
        self._progress.begin(self._how_far, silent=self._action(task) in PROMPTS)

    def _finish_task(self):
        """Prints the results of the task that is over; of one in a batch only where something went wrong, else with the play's."""
        self._progress.end()
        if self._current is None or self._own_pace:
            return
        if not self._batches or self._current.in_trouble:
            self._print_results()
        self._current = None

    def _results_for(self, task):
        """The task's results. A task has those of the batches before in them, as it has the same place and name there."""
        if task._uuid not in self._keys:
            place = (task.get_path(), task.get_name())
            self._keys[task._uuid] = (*place, self._seen[place])
            self._seen[place] += 1
        name = task.get_name().strip() + self._marker(task)
        return self._results.setdefault(self._keys[task._uuid], TaskResults(name))

    def _results_of(self, result):
        """The task's results, which are the environment's where Ansible only chose a host to run the task for all."""
        results = self._results_for(result.task)
        if result.task_fields.get("run_once") or result.result.get("environment") is True:
            results.once = True
        return results

    def _record(self, result, results):
        return self._recap.of(result.host.get_name(), results.once)

    def _note_change(self, result, results):
        commands = result.result.get("commands")
        commands = [str(one) for one in commands] if isinstance(commands, list) else []
        self._record(result, results).changes.append((result.task.get_name().strip(), commands))

    def _note_trouble(self, result, results, outcome, text):
        if outcome == "FAILED" or (outcome == "UNREACHABLE" and not result.task.ignore_unreachable):
            self._gone += 1
        results.trouble(self.host_label(result), outcome, text)
        self._note_warnings(result, results)
        self._progress.advance()

    def _note_warnings(self, result, results):
        if not results.once:
            self._recap.of(result.host.get_name())  # the host took part
        for text in result.result.get("warnings") or ():
            results.warnings.add(self.host_label(result), text)
        for deprecation in result.result.get("deprecations") or ():
            results.deprecations.add(self.host_label(result), deprecation["msg"])
            self._deprecations[deprecation["msg"]] = deprecation

    # Words

    @staticmethod
    def _items(result):
        """The results of a loop's items, else the one result."""
        return (result.task.loop and result.result.get("results")) or [result.result]

    def _reason(self, one):
        """Why a task failed: its message, and what its command printed."""
        said = [one[key] for key in ("msg", "reason", "censored") if one.get(key)][:1]
        said += [str(one[key]).strip() for key in OUTPUT if one.get(key)]
        return "\n".join(map(str, said)).removeprefix("Task failed: ") or self._dump_results(one).strip("\n")

    def _debugged(self, one):
        """What debug was asked to print."""
        shown = {key: value for key, value in one.items() if key not in NOT_DEBUGS and not key.startswith("_ansible")}
        if isinstance(shown.get("msg"), str):
            return shown["msg"]
        return textwrap.dedent(self._dump_results(shown)).strip("\n")

    def _how_far(self, seconds):
        return f"  {self._current.name}: {self._current.so_far(self._hosts - self._gone)}{seconds} s"

    def _marker(self, what):
        return " [CHECK MODE]" if what.check_mode and self.get_option("check_mode_markers") else ""

    @staticmethod
    def _action(task):
        return task.action.rpartition(".")[2]

    # Printing

    def _print_results(self):
        """Prints what is collected, in the order of the tasks."""
        collected, self._results = self._results, {}
        self._progress.end()
        for results in collected.values():
            self._print_task(results)

    def _print_task(self, results):
        hidden = [o for o in ("ok", "skipped") if not self.get_option(f"display_{o}_hosts")]
        summary = results.summary(hidden)
        if results.messages:
            self._print_title()
            self._print_messages(results)
        elif summary:
            self._print_title()
            color = next(color for outcome, color in COLORS.items() if outcome in results.outcomes)
            self._show(f"  {results.name}: {summary}", color)
        for hosts, text in results.diffs:
            if heading := results.heading(hosts):
                self._show(f"    {heading}:")
            self._show(text)
        for outcome, troubles in results.troubles.items():
            self._print_troubles(results, outcome, troubles)
        for hosts, text in results.warnings.but(self._warned):
            self._display.warning(results.named(hosts, text))
        for hosts, text in results.deprecations.but(self._warned):
            about = {key: self._deprecations[text].get(key) for key in ("version", "date", "collection_name")}
            self._display.deprecated(results.named(hosts, text), **about)

    def _print_title(self):
        if not self._titled:
            self._titled = True
            self._show(f"\n{self._title}")

    def _print_messages(self, results):
        for number, (hosts, text) in enumerate(results.messages):
            if number == MESSAGES:
                self._show(f"  {results.name}: {len(results.messages) - MESSAGES:,} other messages; -v shows all")
                return
            heading = results.heading(hosts)
            self._show(f"  {results.name}{f' ({heading})' if heading else ''}:", C.COLOR_OK)
            self._show(textwrap.indent(text, "    "))

    def _print_troubles(self, results, outcome, troubles):
        color, stderr = COLORS[outcome], self.get_option("display_failed_stderr")
        for number, (hosts, text) in enumerate(troubles):
            if number == MESSAGES:
                self._show(f"    {len(troubles) - MESSAGES:,} other messages; -v shows all", color, stderr)
                return
            if heading := results.heading(hosts):
                self._show(f"    {outcome} {heading}:", color, stderr)
            self._show(textwrap.indent(text.strip("\n"), "    " if results.once else "      "), color, stderr)

    def _print_recap(self, stats):
        self._show(f"\nPLAY RECAP {self._recap.totals()}")
        width = self._display.columns if sys.stdout.isatty() else NARROWEST
        for line in table(self._recap.rows(), width):
            self._show(line)
        if stats.custom and self.get_option("show_custom_stats"):
            for name, values in sorted(stats.custom.items()):
                self._show(f"CUSTOM STATS {'of the run' if name == '_run' else name}: {self._dump_results(values)}")
        if context.CLIARGS["check"] and self.get_option("check_mode_markers"):
            self._display.banner("DRY RUN")

    def _print_what_is_left(self, pid):
        """A run that was interrupted prints what was done until then."""
        if os.getpid() == pid and self._results:
            if self._current:
                self._current.name += " (interrupted)"
            self._print_results()

    def _show(self, text, color=None, stderr=False):
        self._display.display(text, color=color, stderr=stderr)

    def _write(self, text, newline):
        if newline:
            self._print_title()
        else:
            text = text[: self._display.columns]
        self._display.display(text, screen_only=not newline, newline=newline)
        sys.stdout.flush()
