//! Password hashes, and passwords made of a master password.

use base64::Engine as _;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use hmac::{Hmac, Mac as _};
use zeroize::Zeroizing;

use super::super::{Result, give};
use crate::{Call, Failure};

/// Work for milliseconds, in steps.
const STEPS_OF_A_HASH: u64 = 100_000;
/// Go's `bcrypt.DefaultCost`.
const COST: u32 = 10;
/// Longer passwords would lose their end.
const LONGEST: usize = 72;
const BCRYPT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::BCRYPT, NO_PAD);

/// The hash of the password that is the argument at `index`; an error is a hash too, as in sprig.
pub(super) fn bcrypt(c: &mut Call<'_, '_, '_>, index: usize) -> std::result::Result<String, Failure> {
    if c.bytes(index).len() > LONGEST {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into());
    }
    c.spend(STEPS_OF_A_HASH)?;
    let mut salt = [0; 16];
    c.environment().fill(&mut salt);
    // A text of C ends with a zero, which counts as far as there is room.
    let mut password = Zeroizing::new(c.bytes(index).to_vec());
    password.push(0);
    password.truncate(LONGEST);
    let hash = bcrypt::bcrypt(COST, salt, &password);
    // The last of the 24 bytes is left out, as in the original.
    Ok(format!("$2a${COST:02}${}{}", BCRYPT.encode(salt), BCRYPT.encode(&hash[..23])))
}

pub(super) fn htpasswd(c: &mut Call<'_, '_, '_>) -> Result {
    let name = c.str(0).into_owned();
    if name.contains(':') {
        return give(format!("invalid username: {name}"));
    }
    give(format!("{name}:{}", bcrypt(c, 1)?))
}

const SCOPE: &[u8] = b"com.lyndir.masterpassword";

/// The forms of a kind of password: each letter stands for a set of characters.
fn forms(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

/// The characters that a letter of a form stands for.
fn characters(letter: u8) -> &'static [u8] {
    match letter {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The length of a text, as it counts in what is hashed.
fn length(text: &[u8]) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// `derivePassword`: counter, kind, master password, user, site. The same every time.
pub(super) fn derive(c: &mut Call<'_, '_, '_>) -> Result {
    let kind = c.str(1);
    let Some(forms) = forms(&kind) else {
        return give(format!("cannot find password template {kind}"));
    };
    c.spend(STEPS_OF_A_HASH)?;
    let counter = match c.value(0) {
        crate::Value::Uint(counter, _) => u32::try_from(*counter).unwrap_or(u32::MAX),
        _ => 0,
    };
    let (master, user, site) = (c.bytes(2), c.bytes(3), c.bytes(4));
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("failed to derive password: {error}"));
    let hardness = scrypt::Params::new(15, 8, 2, 64).map_err(|error| failed(&error))?;
    let mut key = Zeroizing::new([0; 64]);
    let salt = [SCOPE, &length(user), user].concat();
    scrypt::scrypt(master, &salt, &hardness, &mut *key).map_err(|error| failed(&error))?;
    let mut seed = Hmac::<sha2::Sha256>::new_from_slice(&*key).map_err(|error| failed(&error))?;
    seed.update(&[SCOPE, &length(site), site, &counter.to_be_bytes()].concat());
    let seed = Zeroizing::new(seed.finalize().into_bytes().to_vec());
    let (first, seed) = seed.split_first().unwrap_or((&0, &[]));
    let form = forms[usize::from(*first) % forms.len()];
    let pick = |(letter, byte): (u8, &u8)| {
        let characters = characters(letter);
        characters[usize::from(*byte) % characters.len()]
    };
    give(form.bytes().zip(seed).map(pick).collect::<Vec<u8>>())
}
