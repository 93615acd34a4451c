# Unpacks SWUpdate of the release `$suite` and the libraries that it needs into `root`, here.
set -eu
apt=$PWD/apt
mkdir -p "$apt/etc/apt/apt.conf.d" "$apt/etc/apt/preferences.d" "$apt/var/lib/apt/lists/partial" \
    "$apt/var/cache/apt/archives/partial" "$apt/var/lib/dpkg"
: > "$apt/var/lib/dpkg/status"
# The mirror that this host uses, whatever suite it uses it for.
main=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | sort -u | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
printf 'deb [signed-by=%s] %s %s main\n' $key "$main" "$suite" > "$apt/etc/apt/sources.list"
cp /etc/apt/apt.conf.d/*proxy* "$apt/etc/apt/apt.conf.d/" 2>/dev/null || true
cat > "$apt/apt.conf" <<CONF
Dir "$apt"; Dir::State::status "$apt/var/lib/dpkg/status"; Dir::Etc::Trusted "/etc/apt/trusted.gpg";
APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Install-Recommends "false"; Acquire::Languages "none";
APT::Sandbox::User ""; Acquire::Check-Valid-Until "false";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get -q update
apt-get -q -y --download-only install swupdate
rm -rf root
mkdir root
for package in "$apt"/var/cache/apt/archives/*.deb; do
    dpkg-deb -x "$package" root
done
cd root
for directory in bin lib lib64; do
    [ -e $directory ] || ln -s usr/$directory $directory
done
mkdir -p dev proc tmp run mnt
touch ../complete
