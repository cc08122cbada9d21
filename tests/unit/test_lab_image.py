"""What the disk image of a lab's machine is made of."""

from pathlib import Path

from lab import image
from lab.image import System


def test_an_image_with_other_packages_is_another_one() -> None:
    found = {
        image.locate(System("bookworm", packages)).folder.name for packages in ((), ("firewalld",), ("docker.io",))
    }
    assert len(found) == 3
    assert {name.partition("-")[0] for name in found} == {"bookworm"}


def test_packages_beyond_the_labs_own_are_installed_and_their_services_disabled() -> None:
    command = image._mmdebstrap(System("bookworm", ("firewalld", "docker.io")), Path("/parts"))
    (included,) = (word for word in command if word.startswith("--include="))
    assert included.endswith(",firewalld,docker.io")
    (idle,) = (word for word in command if "systemctl disable" in word)
    assert idle.endswith(" sh firewalld docker.io")
    plain = image._mmdebstrap(System("bookworm"), Path("/parts"))
    assert not [word for word in plain if "systemctl disable" in word]
