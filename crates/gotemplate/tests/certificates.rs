//! Keys, certificates, ciphers and password hashes, by a clock and dice that stand still.

#![expect(clippy::unwrap_used, reason = "what fails here stops the test")]

use gotemplate::go::pem;
use gotemplate::{Environment, Functions, Limits, Session, Still, Templates, Value};

/// The same clock and dice as in `certificates/make.go`.
struct World;

impl Environment for World {
    fn now(&self) -> i128 {
        1_795_253_640_000_000_000
    }

    fn fill(&self, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from((201 + index * 37) % 251).unwrap();
        }
    }
}

/// What a template gives, and the functions in it that roll dice.
fn run_in(world: &dyn Environment, text: &str) -> (Result<String, String>, Vec<&'static str>) {
    let mut templates = Templates::new("t", Functions::sprig());
    templates.parse("t", text).unwrap();
    let mut session = Session::new(world, Limits::default());
    let out = templates.execute("t", &Value::Nil, &mut session).map_err(|failed| failed.error.to_string());
    (out.map(|out| String::from_utf8(out).unwrap()), session.random().to_vec())
}

fn run(text: &str) -> String {
    run_in(&World, text).0.unwrap()
}

fn fails(text: &str) -> String {
    let error = run_in(&World, text).0.unwrap_err();
    error.rsplit_once("error calling ").unwrap().1.to_owned()
}

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("certificates/", $name))
    };
}

const RSA: &str = file!("rsa.key");
const EC: &str = file!("ec.key");
const ED25519: &str = file!("ed25519.key");
const RSA_1024: &str = file!("rsa1024.key");
const P224: &str = file!("p224.key");

/// A definition of `$ca`, the authority.
fn authority() -> String {
    format!("{{{{ $ca := genCAWithKey \"shop's CA\" 365 {RSA:?} }}}}")
}

#[test]
fn certificates_are_byte_for_byte_those_of_go() {
    let (ca, hosts) =
        (authority(), "(list \"10.0.0.1\" \"::ffff:10.0.0.2\" \"fe80::1\") (list \"web\" \"*.shop.svc\")");
    assert_eq!(run(&format!("{ca}{{{{ $ca.Cert }}}}")), file!("ca.pem"));
    let leaf = format!("{ca}{{{{ (genSignedCertWithKey \"größer\" {hosts} 36500 $ca {EC:?}).Cert }}}}");
    assert_eq!(run(&leaf), file!("leaf.pem"));
    let nameless = format!("{{{{ (genSelfSignedCertWithKey \"\" nil (list \"web\") 200000 {ED25519:?}).Cert }}}}");
    assert_eq!(run(&nameless), file!("nameless.pem"));
    let small = run(&format!("{{{{ (genCAWithKey \"shop's CA\" 365 {RSA_1024:?}).Cert }}}}"));
    assert_eq!(small, file!("rsa1024.pem"));
    for (key, signed) in [(EC, file!("ec.pem")), (P224, file!("ec224.pem"))] {
        let curve = run(&format!("{{{{ (genSelfSignedCertWithKey \"web@shop\" nil nil 1 {key:?}).Cert }}}}"));
        let (made, wanted) = (pem::next(&curve).unwrap().0.bytes, pem::next(signed).unwrap().0.bytes);
        assert!(made.windows(wanted.len()).any(|part| part == wanted), "{curve}");
    }
}

#[test]
fn keys_come_back_as_they_were_given() {
    for key in [RSA, RSA_1024, EC, P224, ED25519] {
        let text = format!("{{{{ (genCAWithKey \"ca\" 1 {key:?}).Key }}}}");
        assert_eq!(run(&text), key);
    }
    let ecdsa = run("{{ genPrivateKey \"ecdsa\" }}");
    assert_eq!(run(&format!("{{{{ (genCAWithKey \"ca\" 1 {ecdsa:?}).Key }}}}")), ecdsa);
    let both = run(&format!(
        "{{{{ $c := buildCustomCert {:?} {:?} }}}}{{{{ $c.Cert }}}}{{{{ $c.Key }}}}",
        b64(file!("ca.pem")),
        b64(RSA)
    ));
    assert_eq!(both, format!("{}{RSA}", file!("ca.pem")));
    assert_eq!(run(&format!("{}{{{{ printf \"%T\" $ca }}}}", authority())), "sprig.certificate");
}

fn b64(text: &str) -> String {
    gotemplate::go::base64::encode(text.as_bytes())
}

#[test]
fn what_is_no_key_or_certificate_is_told_in_gos_words() {
    let ca = authority();
    for (text, wanted) in [
        ("{{ genCAWithKey \"ca\" 1 \"\" }}", "genCAWithKey: parsing private key: no PEM data in input"),
        (
            "{{ genCAWithKey \"ca\" 1 \"-----BEGIN X-----\\nAAAA\\n-----END X-----\" }}",
            "genCAWithKey: parsing private key: no private key data in PEM block of type X",
        ),
        (
            "{{ genCAWithKey \"ca\" 1 \"-----BEGIN X PRIVATE KEY-----\\nAAAA\\n-----END X PRIVATE KEY-----\" }}",
            "genCAWithKey: parsing private key: invalid private key type X PRIVATE KEY",
        ),
        ("{{ buildCustomCert \"\" \"\" }}", "buildCustomCert: unable to decode certificate"),
    ] {
        assert_eq!(fails(text), wanted, "{text}");
    }
    assert_eq!(
        fails(&format!("{{{{ genCAWithKey \"ca\" 1 {:?} }}}}", file!("rsa512.key"))),
        "genCAWithKey: error creating certificate: crypto/rsa: 512-bit keys are insecure \
         (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)"
    );
    for (arguments, wanted) in [
        ("(list 1) nil 1", "error parsing ip: 1 is not a string"),
        ("nil (list true) 1", "error processing alternate dns name: true is not a string"),
        ("nil (list \"ä\") 1", "error creating certificate: x509: \"ä\" cannot be encoded as an IA5String"),
    ] {
        let error = fails(&format!("{ca}{{{{ genSignedCertWithKey \"x\" {arguments} $ca {EC:?} }}}}"));
        assert_eq!(error, format!("genSignedCertWithKey: {wanted}"));
    }
    let other = format!("(buildCustomCert {:?} {:?})", b64(file!("ca.pem")), b64(EC));
    assert_eq!(
        fails(&format!("{{{{ genSignedCertWithKey \"x\" nil nil 1 {other} {EC:?} }}}}")),
        "genSignedCertWithKey: error creating certificate: x509: provided PrivateKey doesn't match parent's PublicKey"
    );
}

#[test]
fn ciphertexts_and_hashes_are_those_of_go() {
    assert_eq!(run("{{ encryptAES \"key\" \"text\" }}"), "ye4YPWKHrNH2IEVqj7TZA/j8u0nU37Oa0eqYJFDlrLw=");
    assert_eq!(
        run("{{ decryptAES \"key\" (encryptAES \"key\" \"a text of more than a block\") }}"),
        "a text of more than a block"
    );
    let hash = "$2a$10$wc2WNUIFpLF0GCToh5RX.uL/sVbU812Q.uTArBzo0LoJKrtQL21AO";
    assert_eq!(run("{{ bcrypt \"password\" }}"), hash);
    assert_eq!(run("{{ htpasswd \"user\" \"password\" }}"), format!("user:{hash}"));
    for (sealed, wanted) in [
        ("AAAA", "slice bounds out of range [:16] with capacity 3"),
        ("AAAAAAAAAAAAAAAA\\n\\n\\n\\n\\n\\n\\n\\n", "slice bounds out of range [16:12]"),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "index out of range [-1]"),
    ] {
        let error = fails(&format!("{{{{ decryptAES \"key\" \"{sealed}\" }}}}"));
        assert_eq!(error, format!("decryptAES: runtime error: {wanted}"));
    }
    let error = fails("{{ decryptAES \"key\" \"AAAAAAAAAAAAAAAAAAAAAAAA\" }}");
    assert_eq!(error, "decryptAES: crypto/cipher: input not full blocks");
}

#[test]
fn what_rolls_dice_is_named_and_what_does_not_is_not() {
    let ca = authority();
    for (text, named) in [
        ("{{ genPrivateKey \"ecdsa\" }}", "genPrivateKey"),
        ("{{ genPrivateKey \"rsa\" }}", "genPrivateKey"),
        ("{{ genPrivateKey \"dsa\" }}", "genPrivateKey"),
        ("{{ genCA \"ca\" 1 }}", "genCA"),
        ("{{ genSelfSignedCert \"x\" nil nil 1 }}", "genSelfSignedCert"),
        ("{{ bcrypt \"p\" }}", "bcrypt"),
        ("{{ htpasswd \"u\" \"p\" }}", "htpasswd"),
        ("{{ encryptAES \"k\" \"t\" }}", "encryptAES"),
    ] {
        assert_eq!(run_in(&World, text).1, [named], "{text}");
    }
    for (text, named) in [
        ("{{ genSignedCert \"x\" nil nil 1 $ca }}".to_owned(), "genSignedCert"),
        (format!("{{{{ genSignedCertWithKey \"x\" nil nil 1 $ca {EC:?} }}}}"), "genSignedCertWithKey"),
        (format!("{{{{ genSelfSignedCertWithKey \"x\" nil nil 1 {EC:?} }}}}"), "genSelfSignedCertWithKey"),
    ] {
        assert_eq!(run_in(&World, &format!("{ca}{text}")).1, ["genCAWithKey", named], "{text}");
    }
    let still = "{{ decryptAES \"k\" \"\" }}{{ derivePassword 1 \"pin\" \"p\" \"u\" \"s\" }}{{ sha256sum \"x\" }}";
    assert_eq!(run_in(&World, still).1, [""; 0]);
}

#[test]
fn without_dice_there_are_no_keys() {
    let world = Still::default();
    for kind in ["rsa", "ecdsa", "dsa"] {
        let error = run_in(&world, &format!("{{{{ genPrivateKey \"{kind}\" }}}}")).0.unwrap_err();
        assert!(error.contains("there is no source of randomness"), "{error}");
    }
}
