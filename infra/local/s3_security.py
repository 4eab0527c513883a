"""What keeps everyone but the S3 server itself from its inner ports: SeaweedFS's security.toml.

Its parts talk to each other by gRPC, with mutual TLS, and by HTTP, with signed tokens. Certificate and
secrets are made anew at each start and are read by the server alone, from files of mode 0600. The port of
S3 is not among these: there every request is signed with the S3 keys.
"""

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from drdd.private_files import private_folder, write_private
from infra.local.settings import GRPC_OFFSET, StackState

PARTS = ("master", "volume", "filer", "s3", "admin")
JWT = ("signing", "signing.read", "filer_signing", "filer_signing.read")
VALID = timedelta(days=36_500)  # longer than any server runs


def write_security(home: Path) -> None:
    """security.toml, a certificate and its key in `home`, where the server is started."""
    certificate, key = private_folder(home) / "inner.crt", home / "inner.key"
    _write_pair(certificate, key)
    pair = f'cert = "{certificate.resolve()}"\nkey = "{key.resolve()}"\n'
    ca = f'ca = "{certificate.resolve()}"\n'
    sections = [f'[jwt.{section}]\nkey = "{secrets.token_hex(32)}"\n' for section in JWT]
    sections += [f"[grpc]\n{ca}"]
    sections += [f"[grpc.{part}]\n{pair}" for part in (*PARTS, "worker", "client")]
    sections += [f"[https.master]\n{pair}{ca}"]  # it asks for no token
    write_private(home / "security.toml", "".join(sections).encode())


def _write_pair(certificate: Path, key: Path) -> None:
    """One certificate is server, client and authority: whoever has its key is the server."""
    secret = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "drdd")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, SHA256())
    )
    write_private(certificate, signed.public_bytes(Encoding.PEM))
    write_private(key, secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def delete_sockets(state: StackState) -> None:
    """SeaweedFS puts a socket of each part into /tmp, wherever TMPDIR is, and leaves it when killed."""
    ports = {"s3": state.ports.s3} | state.hidden
    for part in PARTS:
        with suppress(FileNotFoundError, PermissionError):
            Path(f"/tmp/seaweedfs-{part}-grpc-{ports[part] + GRPC_OFFSET}.sock").unlink()
