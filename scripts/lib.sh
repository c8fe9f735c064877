# Sourced by the scripts beside it: where we are, what is installed, and saying so.
set -u -o pipefail
export LC_ALL=C.UTF-8 CARGO_TERM_COLOR=never DEBIAN_FRONTEND=noninteractive

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top" || exit 1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '== %s\n' "$*"; }

# The programs that the end-to-end tests drive, as Debian names their packages.
packages=(acl ansible-core certbot ca-certificates cron curl dehydrated dovecot-imapd e2fsprogs faketime g++ gcc haproxy iproute2 lego libc6-dev nginx-light openssh-client openssh-server openssl pebble postfix
    postgresql puppet-agent puppet-lint puppet-strings python3-venv rsync ruby-rspec-puppet ssl-cert strace sudo time util-linux)

# Installs what is missing; starts no service; never fails: a test that lacks a program says so itself.
install_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d made=
    command -v dpkg-query >/dev/null || { say "not Debian: nothing installed, tests without their programs will say so"; return 0; }
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || { say "every package is installed"; return 0; }
    [ "$(id -u)" = 0 ] || { say "not root: cannot install ${missing[*]}; tests that need them are skipped, and say so"; return 0; }
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=$policy
    fi
    say "installing ${missing[*]}"
    apt-get update -q >"$logs/apt" 2>&1 </dev/null
    # One by one when all at once fails, so that one missing package costs only its own tests.
    apt-get install -y -q --no-install-recommends "${missing[@]}" >>"$logs/apt" 2>&1 </dev/null ||
        for package in "${missing[@]}"; do
            apt-get install -y -q --no-install-recommends "$package" >>"$logs/apt" 2>&1 </dev/null || say "could not install $package"
        done
    [ -z "$made" ] || rm -f "$made"
}

# Installs a newer ansible-core than Debian's, ansible-lint and molecule to target/ansible, as tests/wrappers/requirements.txt names them.
# Never fails: what needs them says so itself. With Debian's own Python, which the tests' whole hosts have as well.
install_ansible() {
    local ansible=$top/target/ansible wanted=$top/tests/wrappers/requirements.txt
    cmp -s "$wanted" "$ansible/requirements.txt" && return
    say "installing $(grep -v '^#' "$wanted" | paste -sd' ')"
    mkdir -p "$logs"
    rm -rf "$ansible"
    { /usr/bin/python3 -m venv "$ansible" && "$ansible/bin/pip" install -q -r "$wanted" && cp "$wanted" "$ansible/requirements.txt"; } \
        >"$logs/ansible" 2>&1 </dev/null || say "could not install them: $(tail -n 1 "$logs/ansible")"
}
