#!/bin/sh
# Runs inside the image while it is built, after the packages and files/.
set -eu

for unit in systemd-networkd.service ssh.service lvskit-lab-app.service; do
    systemctl enable "$unit"
done
# None of these helps a lab machine, and each delays its boot or wakes it at a bad moment.
systemctl mask systemd-networkd-wait-online.service systemd-timesyncd.service systemd-firstboot.service \
    keepalived.service conntrackd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service serial-getty@ttyS0.service getty@tty1.service \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \
    modprobe@fuse.service modprobe@loop.service
systemctl set-default multi-user.target

# A user without rights of its own, who logs in with root's key. "*": sshd without PAM refuses an account whose password is locked.
useradd --gid operator --create-home --shell /bin/bash --password '*' operator
echo 'operator ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/operator
install -D -o operator -g operator -m 600 /root/.ssh/authorized_keys /home/operator/.ssh/authorized_keys
chown operator:operator /home/operator/.ssh

echo '/dev/vda / ext4 noatime 0 1' >/etc/fstab
echo template >/etc/hostname
echo '127.0.0.1 localhost template' >/etc/hosts
: >/etc/resolv.conf
# Not empty: systemd takes an empty one for a first boot and presets every unit again.
echo 00000000000000000000000000000001 >/etc/machine-id

mkdir /var/cache/lvskit-lab-bytecode
python3 -m compileall -q /usr/local/lib/lvskit-lab /usr/lib/python3/dist-packages/lvskit_lab_bytecode.py
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt
