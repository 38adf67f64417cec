import base64
import stat
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from acesniper.testbed.credentials import Authority, file_name, write_kubeconfig


def test_a_kubeconfig_is_complete_and_private(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    client = authority.client("someone", "someone", ("a-group",))

    path = write_kubeconfig(
        tmp_path / "config", port=6443, ca=authority.ca.cert, user="someone", client=client
    )

    config = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    user = config["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]) == client.key.read_bytes()


def test_a_client_certificate_names_user_and_groups(tmp_path: Path) -> None:
    client = Authority(tmp_path, "ca").client("admin", "admin", ("system:masters",))

    certificate = x509.load_pem_x509_certificate(client.cert.read_bytes())
    names = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert names == {
        NameOID.COMMON_NAME: "admin",
        NameOID.ORGANIZATION_NAME: "system:masters",
    }


def test_the_file_name_of_a_system_user_has_no_colon() -> None:
    assert file_name("system:kube-scheduler") == "system-kube-scheduler"
