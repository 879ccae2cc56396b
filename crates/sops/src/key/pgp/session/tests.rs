//! What is wrapped for an RSA key in an unusual way.

use pgp::composed::{EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{PacketHeader, PublicKeyEncryptedSessionKey};
use pgp::types::{PkeskBytes, PublicParams, Tag};

use rand_core::OsRng;

use super::*;

fn key() -> SignedSecretKey {
    let parameters = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Rsa(2048))
        .can_encrypt(EncryptionCaps::All)
        .primary_user_id("user".into())
        .build();
    parameters.unwrap().generate(OsRng).unwrap()
}

/// A packet as others write it: whatever they want is in it.
fn wrapped(key: &SignedSecretKey, text: &[u8]) -> PublicKeyEncryptedSessionKey {
    let public = key.primary_key.public_key();
    let PublicParams::RSA(numbers) = public.public_params() else { panic!("it is RSA") };
    let values = pgp::crypto::rsa::encrypt(OsRng, &numbers.key, text).unwrap();
    let PkeskBytes::Rsa { mpi } = &values else { panic!("it is RSA") };
    let length = u32::try_from(mpi.as_ref().len() + 12).unwrap();
    PublicKeyEncryptedSessionKey::V3 {
        packet_header: PacketHeader::new_fixed(Tag::PublicKeyEncryptedSessionKey, length),
        id: public.legacy_key_id(),
        pk_algo: PublicKeyAlgorithm::RSA,
        values,
    }
}

#[test]
fn whatever_is_wrapped_for_rsa_is_read_or_refused() {
    const AES256: u8 = 9;
    let sum = |key: &[u8]| key.iter().map(|byte| u16::from(*byte)).sum::<u16>().to_be_bytes();
    let text = |algorithm: u8, key: &[u8]| [&[algorithm], key, &sum(key)].concat();
    let key = key();
    let by_crate = Secret::new(key.clone());
    assert!(by_crate.rsa[0].set(None).is_ok(), "as with a key that aws-lc refuses");
    for secret in [Secret::new(key.clone()), by_crate] {
        let opened = secret.open(&wrapped(&key, &text(AES256, &[7; 32])));
        assert!(
            matches!(&opened, Some(PlainSessionKey::V3_4 { key, sym_alg: SymmetricKeyAlgorithm::AES256 }) if key.as_ref() == [7; 32])
        );
        let bad =
            [vec![], vec![AES256], vec![0, 0], text(AES256, &[7; 31]), text(0, &[]), text(200, &[]), text(AES256, &[])];
        for text in bad {
            assert!(secret.open(&wrapped(&key, &text)).is_none(), "{text:?}");
        }
        let mut damaged = text(AES256, &[7; 32]);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(secret.open(&wrapped(&key, &damaged)).is_none());
    }
}
