#!/bin/sh
# Runs inside the image while it is built, after the packages and files/.
set -eu

for unit in systemd-networkd.service ssh.service lvskit-lab-app.service; do
    systemctl enable "$unit"
done
# None of these helps a lab machine, and each delays its boot or wakes it at a bad moment.
systemctl mask systemd-networkd-wait-online.service systemd-timesyncd.service systemd-firstboot.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service serial-getty@ttyS0.service getty@tty1.service
systemctl set-default multi-user.target

echo '/dev/vda / ext4 noatime 0 1' >/etc/fstab
echo template >/etc/hostname
echo '127.0.0.1 localhost template' >/etc/hosts
: >/etc/resolv.conf
# Not empty: systemd takes an empty one for a first boot and presets every unit again.
echo 00000000000000000000000000000001 >/etc/machine-id

python3 -m compileall -q /usr/local/lib/lvskit-lab
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt
