#!/usr/bin/python
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ansible module: makes a host what its certsync spec says."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: certsync
short_description: Make a host what its certsync spec says
version_added: "0.1.0"
description:
  - Runs C(certsync apply) and tells what it did; in check mode C(certsync plan), which changes nothing.
  - With C(content), the spec is validated, written, and applied. In check mode the plan is made for the new content, not for the file that is there.
  - What is shown is certsync's own difference. It holds no byte of a private key, so C(no_log) is not needed.
options:
  spec:
    description: The spec file on the host. Relative paths in it start in its folder.
    type: path
    default: /etc/certsync/certsync.yaml
  content:
    description:
      - What the spec file is to hold. It replaces the file only if C(certsync validate) finds nothing wrong with it.
      - Without it, the file that is there is applied.
    type: str
  owner:
    description: Who owns the spec file, where C(content) is given.
    type: str
    default: root
  group:
    description: The group of the spec file, where C(content) is given.
    type: str
    default: root
  directory_mode:
    description:
      - The mode of the folder of the spec file, where C(content) is given. It is made where it is missing, and has the owner and the group of the file.
      - It has to be a folder of the spec's own, so not one that lies directly below the root directory. By default the folder is left as it is.
    type: raw
  version:
    description: The version that the program is to have. With another one the module fails before it does anything.
    type: str
  apply:
    description: C(false) writes the spec and applies nothing.
    type: bool
    default: true
  ready:
    description:
      - Whether the host has the groups and users that the spec names. A dry run on a bare host says C(false), since an earlier task would have made them.
      - That one is missing is a warning then, and the rest is not planned. Without check mode it has no effect.
    type: bool
    default: true
  local:
    description:
      - Leave other hosts alone, so that one that is down does not make this one fail. Delivery belongs to the schedule and to the hook of the ACME client.
      - An upstream that cannot be reached is a warning then.
    type: bool
    default: true
  name:
    description: The name of this host in the spec. By default certsync finds it by the host name.
    type: str
  state_dir:
    description: Where certsync keeps what it did last. By default certsync's own.
    type: path
  executable:
    description: The program, a path or a name to be searched for.
    type: str
    default: certsync
  retry:
    description: Try again what a failing check of a service took back, though nothing has changed since.
    type: bool
    default: false
  verify_content:
    description: Read every file, even where its time stamps say that nothing changed.
    type: bool
    default: false
  accept:
    description: Waive one refusal for this run, as C(SET=WORD), such as C(example.com=older).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Shows what would be done, and changes nothing.
  diff_mode:
    support: full
    description: The spec file, and every installed file as certsync describes it.
  platform:
    platforms: posix
    support: full
    description: Linux.
author:
  - the certsync maintainers (@certsync)
"""

EXAMPLES = r"""
- name: Apply the spec that is there
  certsync:

- name: Write the spec and apply it
  certsync:
    content: "{{ certsync_spec | to_nice_yaml(indent=2, sort_keys=false) }}"
    group: certsync

- name: Only see whether the program is the one that is meant
  certsync:
    version: 0.1.0
    apply: false

- name: A replacement from another authority is dated earlier than the certificate it replaces
  certsync:
    accept: [example.com=older]
"""

RETURN = r"""
report:
  description: What C(certsync apply --format json), or C(certsync plan --format json) in check mode, has told. C(certsync schema report) describes it.
  returned: when certsync has run
  type: dict
spec_changed:
  description: Whether the spec file was, or in check mode would be, written.
  returned: always
  type: bool
"""

import grp
import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes, to_native

SPEC_MODE = "0640"


class Certsync:
    """One run of the module."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.program = module.get_bin_path(self.params["executable"])
        self.diff = []
        self.result = {"changed": False, "spec_changed": False}

    def fail(self, msg):
        self.module.fail_json(msg=msg, diff=self.diff, **self.result)

    def check_version(self):
        """Fails where the program is not the one that is asked for."""
        asked = self.params["version"]
        if not asked or self.program is None:
            return
        status, stdout, stderr = self.module.run_command([self.program, "--version"])
        told = stdout.split()
        if status != 0 or len(told) < 2:
            self.fail("%s does not tell its version: %s" % (self.program, (stderr or stdout).strip()))
        if told[1] != asked:
            self.fail("%s is version %s, but version %s is asked for" % (self.program, told[1], asked))

    def run(self, command, arguments, stdin=None):
        line = [self.program, command] + arguments
        for option, value in (("--as", self.params["name"]), ("--state-dir", self.params["state_dir"])):
            if value:
                line += [option, value]
        return self.module.run_command(line, data=stdin, binary_data=stdin is not None)

    def read_spec(self):
        try:
            with open(self.params["spec"], "rb") as spec:
                return spec.read()
        except (IOError, OSError) as error:
            if os.path.lexists(self.params["spec"]):
                self.fail("%s: %s" % (self.params["spec"], to_native(error.strerror)))
            return None

    def from_stdin(self):
        """What makes plan and validate read the new spec as if it were there already."""
        return ["-", "--at", self.params["spec"]]

    def write_spec(self):
        """Writes the spec where it is not what is asked for; what it is to hold in any case."""
        content = self.params["content"]
        if content is None:
            if self.params["apply"] and not os.path.lexists(self.params["spec"]):
                self.fail("%s: there is no spec on this host, and none is given (content; certsync_spec of the role)" % self.params["spec"])
            return None
        content = to_bytes(content)
        former = self.read_spec()
        if former != content:
            self.validate(content)
            self.own_folder()
            self.result["changed"] = self.result["spec_changed"] = True
            text = to_native(former) if former is not None else ""
            self.diff.append(
                {"before": text, "after": to_native(content), "before_header": self.params["spec"], "after_header": self.params["spec"]}
            )
            if not self.module.check_mode:
                self.replace(content)
        else:
            self.own_folder()
        self.own(self.params["spec"], SPEC_MODE)
        return content

    def validate(self, content):
        if self.program is None:
            return
        status, dummy, stderr = self.run("validate", self.from_stdin(), content)
        if status != 0 and not self.is_only_unready(stderr):
            self.fail(stderr.strip() or "certsync validate ended with status %d" % status)

    def is_only_unready(self, stderr):
        """Whether a dry run has nothing to say but that a group or a user is not there yet."""
        faults = [line for line in stderr.splitlines() if line.startswith("certsync: error: ")]
        return bool(faults) and all(self.is_unready(fault) for fault in faults)

    def is_unready(self, fault):
        return self.module.check_mode and not self.params["ready"] and ("no group `" in fault or "no user `" in fault)

    def replace(self, content):
        folder = os.path.dirname(self.params["spec"])
        try:
            handle, temporary = tempfile.mkstemp(prefix=".certsync.yaml.", dir=folder)
            self.module.add_cleanup_file(temporary)
            with os.fdopen(handle, "wb") as new:
                new.write(content)
        except (IOError, OSError) as error:
            self.fail("%s: %s" % (folder, to_native(error.strerror)))
        # The right owner and mode before it stands where certsync reads it.
        self.module.set_fs_attributes_if_different(self.attributes(temporary, SPEC_MODE), False)
        self.module.atomic_move(temporary, self.params["spec"])

    def own_folder(self):
        mode = self.params["directory_mode"]
        folder = os.path.dirname(self.params["spec"])
        if mode is None:
            return
        if os.path.dirname(folder) == "/":
            self.fail("%s: the spec needs a folder of its own, such as /etc/certsync, since others are not to read it" % self.params["spec"])
        if not os.path.isdir(folder):
            self.result["changed"] = True
            if not self.module.check_mode:
                os.makedirs(folder, 0o700)
        self.own(folder, mode)

    def own(self, path, mode):
        """Owner, group and mode, where it is there."""
        if not os.path.exists(path):
            return
        try:
            changed = self.module.check_mode and not self.has_group()
            changed = changed or self.module.set_fs_attributes_if_different(self.attributes(path, mode), False)
        except (IOError, OSError) as error:
            self.fail("%s: %s" % (path, to_native(error.strerror)))
        self.result["changed"] = self.result["changed"] or changed

    def has_group(self):
        """A dry run has not made it."""
        group = self.params["group"]
        try:
            return group.isdigit() or bool(grp.getgrnam(group))
        except KeyError:
            return False

    def attributes(self, path, mode):
        return self.module.load_file_common_arguments({"path": path, "owner": self.params["owner"], "group": self.params["group"], "mode": mode})

    def options(self):
        options = ["--format", "json", "--detailed-exitcode"]
        for name in ("retry", "verify_content"):
            if self.params[name]:
                options.append("--" + name.replace("_", "-"))
        for accepted in self.params["accept"]:
            options += ["--accept", accepted]
        return options

    def apply(self, content):
        if self.module.check_mode:
            place = [self.params["spec"]] if content is None else self.from_stdin()
            status, stdout, stderr = self.run("plan", self.options() + place, content)
        else:
            local = ["--local"] if self.params["local"] else []
            status, stdout, stderr = self.run("apply", self.options() + local + [self.params["spec"]])
        try:
            report = json.loads(stdout)
        except ValueError:
            # It could not begin: a faulty spec, no rights, another run that does not end.
            self.fail(stderr.strip() or "certsync ended with status %d and said nothing" % status)
        self.tell(report)

    def tell(self, report):
        self.result["report"] = report
        self.result["changed"] = self.result["changed"] or report["changed"]
        for one in report["sets"]:
            for install in one["installs"]:
                for change in install["diff"]:
                    path = os.path.normpath(os.path.join(install["dest"], change["path"]))
                    header = "%s (%s)" % (path, one["reason"] or install["result"])
                    self.diff.append(
                        {"before": change["before"] or "", "after": change["after"] or "", "before_header": header, "after_header": header}
                    )
            for warning in one.get("warnings", []):
                self.module.warn("%s: %s" % (one["name"], warning))
        for warning in report.get("warnings", []):
            self.module.warn(warning)
        errors = list(self.errors(report))
        serious = [error for error in errors if not self.is_forgiven(error)]
        for error in errors:
            if error not in serious:
                self.module.warn(words(error))
        faults = [words(error) for error in serious] + [of_hook(hook) for hook in report["hooks"] if hook["result"] == "failed"]
        if faults or (report["failed"] and not errors):
            self.fail("\n".join(faults) or "certsync has failed")

    def errors(self, report):
        parts = report["sets"] + [install for one in report["sets"] for install in one["installs"]] + report["servers"]
        seen = []
        for error in report["errors"] + [part["error"] for part in parts if part.get("error")]:
            if error not in seen:
                seen.append(error)
                yield error

    def is_forgiven(self, error):
        """A plan asks the host above, as an apply that leaves others alone does: that it does not answer is no fault of this host."""
        if self.is_unready(error["cause"]):
            self.result["changed"] = True
            return True
        return self.module.check_mode and self.params["local"] and error["kind"] == "upstream"


def words(error):
    text = "%s: %s" % (error["subject"], error["cause"])
    return "%s (%s)" % (text, error["hint"]) if error["hint"] else text


def of_hook(hook):
    """As certsync puts it on stderr, with what the hook printed."""
    subject = "hook %s for %s" % (hook["name"], hook["set"]) if hook["set"] else "hook %s" % hook["name"]
    output = (hook["output"] or "").splitlines()
    if hook["status"] is not None:
        cause = "%s failed with exit status %s" % (hook["phase"], hook["status"])
    else:
        cause = "%s failed" % hook["phase"]
    return "\n".join(["%s: %s" % (subject, cause)] + ["  | " + line for line in output])


def main():
    module = AnsibleModule(
        argument_spec={
            "spec": {"type": "path", "default": "/etc/certsync/certsync.yaml"},
            # Not into the log of the host, which others may read.
            "content": {"type": "str", "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "directory_mode": {"type": "raw"},
            "version": {"type": "str"},
            "apply": {"type": "bool", "default": True},
            "ready": {"type": "bool", "default": True},
            "local": {"type": "bool", "default": True},
            "name": {"type": "str"},
            "state_dir": {"type": "path"},
            "executable": {"type": "str", "default": "certsync"},
            "retry": {"type": "bool", "default": False},
            "verify_content": {"type": "bool", "default": False},
            "accept": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    # It is in the log now as hidden; the difference shows it, and holds no secret.
    module.no_log_values.discard(module.params["content"])
    certsync = Certsync(module)
    if certsync.program is None and not module.check_mode:
        module.fail_json(msg="%s is not installed" % module.params["executable"])
    certsync.check_version()
    content = certsync.write_spec()
    if certsync.program is None:
        # On a bare host nothing can be planned: all of it would be new.
        module.exit_json(msg="certsync is not installed yet", diff=certsync.diff, **dict(certsync.result, changed=True))
    if module.params["apply"]:
        certsync.apply(content)
    module.exit_json(diff=certsync.diff, **certsync.result)


if __name__ == "__main__":
    main()
