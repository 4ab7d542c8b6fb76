use secrecy::ExposeSecret;

use super::*;

const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const MSG: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SENT: i64 = 1_649_367_553;
const SIGNED: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

fn first() -> Secret {
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap()
}

fn second() -> Secret {
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()
}

fn private() -> PrivateKey {
    PRIVATE.parse().unwrap()
}

fn signed_by(keys: &[SigningKey]) -> String {
    sign(keys, MSG, SENT, BODY)
}

fn check(keys: &[VerifyingKey], signature: &str, timestamp: &str, body: &[u8], now: i64) -> Result<(), Untrusted> {
    let headers = Headers { id: MSG, timestamp, signature };
    verify(keys, &headers, body, DateTime::from_timestamp(now, 0).unwrap())
}

/// Whether a holder of these keys trusts the sample message with this signature.
fn trusts(keys: &[VerifyingKey], signature: &str) -> bool {
    check(keys, signature, "1649367553", BODY, SENT).is_ok()
}

#[test]
fn the_specification_s_vectors_come_out() {
    assert_eq!(signed_by(&[SigningKey::Secret(first())]), SIGNED);
    let (id, sent, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    let keys = [SigningKey::Secret(second()), SigningKey::Private(private())];
    assert_eq!(
        sign(&keys, id, sent, body),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= \
         v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    );
}

#[test]
fn a_message_signed_with_several_keys_is_trusted_by_holders_of_any() {
    let keys = [SigningKey::Secret(first()), SigningKey::Secret(second()), SigningKey::Private(private())];
    let all = signed_by(&keys);
    assert_eq!(all.split(' ').count(), 3);
    for key in [VerifyingKey::from(first()), second().into(), private().public().into()] {
        assert!(trusts(&[key], &all));
    }
    for stranger in [VerifyingKey::from(Secret::generate()), PrivateKey::generate().public().into()] {
        assert!(!trusts(&[stranger], &all));
    }
    assert!(!trusts(&[], &all));
}

#[test]
fn one_version_s_signature_is_not_taken_for_the_other_s() {
    let keys = [VerifyingKey::from(first()), private().public().into()];
    let pair = signed_by(&[SigningKey::Private(private())]);
    assert!(trusts(&keys, &pair) && trusts(&keys, SIGNED));
    assert!(!trusts(&keys, &pair.replace("v1a,", "v1,")) && !trusts(&keys, &SIGNED.replace("v1,", "v1a,")));
}

#[test]
fn every_signature_is_tried_and_unknown_versions_are_ignored() {
    let list = format!("v1a,{0} v2,{0} junk v1,AAAA v1,% {1}", &SIGNED[3..], SIGNED);
    assert!(trusts(&[second().into(), first().into()], &list));
    assert!(!trusts(&[first().into()], &SIGNED.replace("v1,", "v2,")));
    assert!(!trusts(&[first().into()], ""));
}

#[test]
fn a_changed_body_or_time_is_not_trusted() {
    let both = signed_by(&[SigningKey::Secret(first()), SigningKey::Private(private())]);
    for key in [VerifyingKey::from(first()), private().public().into()] {
        let keys = [key];
        assert_eq!(check(&keys, &both, "1649367553", b"{}", SENT), Err(Untrusted::NoMatch));
        assert_eq!(check(&keys, &both, "1649367554", BODY, SENT), Err(Untrusted::NoMatch));
    }
}

#[test]
fn five_minutes_either_way_are_tolerated_and_no_second_more() {
    let keys = [VerifyingKey::from(first())];
    let at = |timestamp, now| check(&keys, SIGNED, timestamp, BODY, now);
    assert_eq!(at("1649367553", SENT + 300), Ok(()));
    assert_eq!(at("1649367553", SENT - 300), Ok(()));
    assert_eq!(at("1649367553", SENT + 301), Err(Untrusted::TooOld));
    assert_eq!(at("1649367553", SENT - 301), Err(Untrusted::TooNew));
    for bad in ["", "x", "+1649367553", "-1", "1649367553.0", "99999999999999999999"] {
        assert_eq!(at(bad, SENT), Err(Untrusted::BadTimestamp), "{bad}");
    }
}

#[test]
fn a_secret_has_24_to_64_bytes_and_survives_its_text() {
    for (length, good) in [(23, false), (24, true), (64, true), (65, false)] {
        let text = format!("whsec_{}", STANDARD.encode(vec![7; length]));
        assert_eq!(text.parse::<Secret>().is_ok(), good, "{length}");
    }
    for bad in ["", "whsec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_***"] {
        assert_eq!(bad.parse::<Secret>().unwrap_err(), InvalidSecret);
    }
    let made = Secret::generate();
    let read: SigningKey = made.reveal().expose_secret().parse().unwrap();
    assert!(trusts(&[made.clone().into()], &signed_by(&[read])));
    assert_eq!(format!("{made:?}"), "Secret([REDACTED])");
}

#[test]
fn a_key_pair_survives_its_text_and_its_halves_must_fit() {
    let made = PrivateKey::generate();
    let read: SigningKey = made.reveal().expose_secret().parse().unwrap();
    assert!(trusts(&[made.public().to_string().parse().unwrap()], &signed_by(&[read])));
    let shown = format!("{made:?}");
    assert!(!shown.contains(&made.reveal().expose_secret()[5..40]), "{shown}");
    let mut halves = STANDARD.decode(&PRIVATE[5..]).unwrap();
    halves[63] ^= 1;
    let torn = format!("whsk_{}", STANDARD.encode(&halves));
    for bad in ["whsk_", "whsk_AAAA", torn.as_str()] {
        assert_eq!(bad.parse::<PrivateKey>().unwrap_err(), InvalidPrivateKey, "{bad}");
    }
    assert_eq!("whpk_AAAA".parse::<PublicKey>().unwrap_err(), InvalidPublicKey);
    assert!(matches!("hello".parse::<VerifyingKey>(), Err(InvalidKey::Unknown)));
    assert!(matches!(PRIVATE.parse::<VerifyingKey>(), Err(InvalidKey::Unknown)), "a receiver has no private key");
}
