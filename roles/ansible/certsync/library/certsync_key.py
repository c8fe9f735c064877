#!/usr/bin/python
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ansible module: this host's own SSH key for certsync."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: certsync_key
short_description: This host's own SSH key for certsync
version_added: "0.1.0"
description:
  - Makes the key pair by which this host logs in to others, where there is none yet, and tells its public half.
  - The public half becomes the fact C(ansible_facts.certsync_public_key) of the host.
  - The private half is made on the host and never leaves it.
options:
  state_dir:
    description: Where certsync keeps what it did last.
    type: path
    default: /var/lib/certsync
  executable:
    description: The program, a path or a name to be searched for.
    type: str
    default: certsync
attributes:
  check_mode:
    support: full
    description: Makes no key. Where there is none yet, C(public_key) is empty.
  facts:
    support: full
    description: The public half.
  diff_mode:
    support: none
    description: There is nothing to be shown.
  platform:
    platforms: posix
    support: full
    description: Linux.
author:
  - the certsync maintainers (@certsync)
"""

EXAMPLES = r"""
- name: Make a key
  certsync_key:
  register: key

- name: Its public half goes into the spec
  ansible.builtin.debug:
    msg: "public_key: {{ key.public_key }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: always
  type: dict
  contains:
    certsync_public_key:
      description: The same as C(public_key).
      type: str
public_key:
  description: The public half, as it stands in C(public_key) of a server in the spec.
  returned: always
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkTNd/I+0gXXZi9zxBVGc1suwOYXucnYuBaRkRNcy5l
"""

import os

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "default": "/var/lib/certsync"},
            "executable": {"type": "str", "default": "certsync"},
        },
        supports_check_mode=True,
    )
    state_dir = module.params["state_dir"]
    missing = not os.path.lexists(os.path.join(state_dir, "keys", "id_ed25519"))
    if missing and module.check_mode:
        tell(module, True, "")
    program = module.get_bin_path(module.params["executable"], required=True)
    status, stdout, stderr = module.run_command([program, "keygen", "--quiet", "--state-dir", state_dir])
    if status != 0:
        module.fail_json(msg=stderr.strip() or "certsync keygen ended with status %d" % status)
    tell(module, missing, stdout.strip())


def tell(module, changed, key):
    module.exit_json(changed=changed, public_key=key, ansible_facts={"certsync_public_key": key})


if __name__ == "__main__":
    main()
