#!/bin/sh
# Runs inside a Debian tree that has the packages and files of the profile `security`: the tools that will read the files judge them,
# and the login rules are tried out. Prints one line per check; the first that fails ends it.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

ok() { echo "ok: $1"; }
fail() { echo "FAILED: $1" >&2; exit 1; }

# --- what the tools say about their files ------------------------------------------------------------------------------
mkdir -p /run/sshd
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
sshd -t || fail "sshd -t"
effective=$(sshd -T)
for line in "permitrootlogin no" "passwordauthentication no" "clientalivecountmax 3" "channeltimeout session*=15m" \
    "unusedconnectiontimeout 300" "authorizedkeysfile /etc/ssh/authorized_keys.d/%u" "allowtcpforwarding no"; do
    echo "$effective" | grep -qxF "$line" || fail "sshd does not say: $line"
done
ok sshd
unshare -n nft -c -f /etc/nftables.conf || fail "nft -c"
mkdir -p /etc/nftables.d
echo "tcp dport 80 accept" > /etc/nftables.d/test.nft
unshare -n nft -c -f /etc/nftables.conf || fail "nft -c with a port of the product"
echo "tcp dport eighty accept" > /etc/nftables.d/test.nft
! unshare -n nft -c -f /etc/nftables.conf 2>/dev/null || fail "nft does not read the product's file"
rm /etc/nftables.d/test.nft
ok nftables
visudo -cq || fail "visudo -c"
ok sudo
chronyd -p -f /etc/chrony/chrony.conf > /dev/null || fail "chronyd -p"
ok chrony
augenrules > /dev/null || fail "augenrules"
tail -n 1 /etc/audit/audit.rules | grep -qx -- "-e 2" || fail "the audit rules do not end locked"
ok audit
units=$(ls /etc/systemd/system/bedstone-*.service /etc/systemd/system/bedstone-*.timer)
# shellcheck disable=SC2086
complaints=$(systemd-analyze --man=no verify $units /etc/systemd/system/tmp.mount ssh.service nftables.service auditd.service chrony.service systemd-networkd.service 2>&1) || true
[ -z "$complaints" ] || fail "systemd-analyze verify: $complaints"
ok units
complaints=$(useradd -D 2>&1 > /dev/null)
[ -z "$complaints" ] || fail "login.defs: $complaints"
ok login.defs

# --- integrity ---------------------------------------------------------------------------------------------------------
mkdir -p /var/lib/aide /var/lib/bedstone
aide --config=/etc/aide/aide.conf --init > /dev/null || fail "aide --init"
mv /var/lib/aide/aide.db.new /var/lib/aide/aide.db
aide --config=/etc/aide/aide.conf --check > /dev/null || fail "aide sees a difference where there is none"
echo "# changed" >> /etc/hosts
! aide --config=/etc/aide/aide.conf --check > /dev/null || fail "aide does not see a change"
ok aide

# --- logins ------------------------------------------------------------------------------------------------------------
useradd -m alice
echo "alice:Correct-Horse-9" | chpasswd
[ "$(stat -c %a /home/alice)" = 700 ] || fail "homes are not private"
grep -q '^alice:\$y\$' /etc/shadow || fail "passwords are not stored with yescrypt"
grep -q '^alice:[^:]*:[^:]*:1:365:14:' /etc/shadow || fail "passwords do not end"
try() { echo "$2" | pamtester sshd "$1" authenticate > /dev/null 2>&1; }
failures() { faillock --user alice | tail -n +3 | wc -l; }
good=Correct-Horse-9
try alice $good || fail "a good password is refused"
[ "$(failures)" = 0 ] || fail "a good password is counted as a failure"
for _ in 1 2 3 4; do ! try alice wrong || fail "a wrong password is accepted"; done
[ "$(failures)" = 4 ] || fail "failures are not counted once each: $(failures)"
try alice $good || fail "four failures lock already"
[ "$(failures)" = 0 ] || fail "a good password does not clear the count"
for _ in 1 2 3 4 5; do ! try alice wrong || fail "a wrong password is accepted"; done
! try alice $good || fail "five failures do not lock"
pamtester sshd alice acct_mgmt > /dev/null 2>&1 || fail "a locked password keeps a key from opening a session"
[ "$(failures)" = 5 ] || fail "a session by key clears the count"
faillock --user alice --reset
try alice $good || fail "an unlocked account stays locked"
passwd -d alice > /dev/null
! try alice "" || fail "an empty password is accepted"
echo "root:$good" | chpasswd
for _ in 1 2 3 4 5; do ! try root wrong || fail "a wrong password of root is accepted"; done
! try root $good || fail "root is not locked"
passwd -l root > /dev/null
ok faillock
change() { printf '%s\n%s\n' "$1" "$1" | passwd alice > /dev/null 2>&1; }
for weak in short alice-Alice-123 aaaaBBBB1111 onlylowercase; do ! change $weak || fail "the password $weak is accepted"; done
change Tr0ub4dor-and-3 || fail "a strong password is refused"
! change Tr0ub4dor-and-3 || fail "the same password is accepted again"
ok passwords
