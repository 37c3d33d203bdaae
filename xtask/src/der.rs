//! Writes DER, the encoding of ASN.1 that signatures use: as much of it as a catalog needs.
//!
//! Invariants: every function gives one complete element; a SET's members are in DER's order.
//! Neighbours: `catalog` builds its file of these.

/// A SEQUENCE.
pub fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

/// A SET OF; DER sorts its members.
pub fn set(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    element(0x31, &elements.concat())
}

/// An OCTET STRING.
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    element(0x04, bytes)
}

/// A BIT STRING of which the last `unused` bits do not count.
pub fn bits(bytes: &[u8], unused: u8) -> Vec<u8> {
    element(0x03, &[&[unused], bytes].concat())
}

/// NULL.
pub fn null() -> Vec<u8> {
    element(0x05, &[])
}

/// An INTEGER that is not negative.
pub fn integer(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
    let sign = if bytes[zeros] & 0x80 == 0 { &[][..] } else { &[0] };
    element(0x02, &[sign, &bytes[zeros..]].concat())
}

/// An OBJECT IDENTIFIER.
pub fn object_id(arcs: &[u32]) -> Vec<u8> {
    let [first, second, rest @ ..] = arcs else { panic!("an object identifier has two numbers at least") };
    let mut bytes = base128(first * 40 + second);
    for arc in rest {
        bytes.extend(base128(*arc));
    }
    element(0x06, &bytes)
}

/// A UTCTime, given as `YYMMDDHHMMSSZ`.
pub fn utc_time(text: &str) -> Vec<u8> {
    element(0x17, text.as_bytes())
}

/// A BMPString.
pub fn bmp_string(text: &str) -> Vec<u8> {
    element(0x1E, &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
}

/// A field tagged `[number]` that wraps one element.
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xA0 | number, content)
}

/// A field tagged `[number]` whose own bytes follow.
pub fn implicit(number: u8, bytes: &[u8]) -> Vec<u8> {
    element(0x80 | number, bytes)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let zeros = digits.iter().take_while(|byte| **byte == 0).count();
            bytes.push(0x80 | (digits.len() - zeros) as u8);
            bytes.extend(&digits[zeros..]);
        }
    }
    bytes.extend(content);
    bytes
}

/// Seven bits to the byte, the highest first; all but the last byte are marked.
fn base128(value: u32) -> Vec<u8> {
    let digits = (0..5).rev().map(|index| (value >> (7 * index)) as u8 & 0x7F);
    let mut bytes: Vec<u8> = digits.skip_while(|digit| *digit == 0).collect();
    if bytes.is_empty() {
        bytes.push(0);
    }
    let last = bytes.len() - 1;
    bytes[..last].iter_mut().for_each(|byte| *byte |= 0x80);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(octets(&[7; 0x7F])[..2], [0x04, 0x7F]);
        assert_eq!(octets(&[7; 0x80])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(octets(&[7; 0x1234])[..4], [0x04, 0x82, 0x12, 0x34]);
    }

    #[test]
    fn integers_keep_their_sign_bit_clear() {
        assert_eq!(integer(0), [0x02, 1, 0]);
        assert_eq!(integer(0x7F), [0x02, 1, 0x7F]);
        assert_eq!(integer(0x80), [0x02, 2, 0, 0x80]);
        assert_eq!(integer(0x1001_0001), [0x02, 4, 0x10, 0x01, 0x00, 0x01]);
        assert_eq!(integer(0xFFFF_FFFF), [0x02, 5, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    #[test]
    fn object_identifiers_use_seven_bits_to_the_byte() {
        // 1.2.840.113549 of X.690, 8.19.5 and every textbook.
        assert_eq!(object_id(&[1, 2, 840, 113_549]), [0x06, 6, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D]);
        assert_eq!(object_id(&[2, 16, 840, 0]), [0x06, 4, 0x60, 0x86, 0x48, 0x00]);
    }

    #[test]
    fn sets_are_sorted() {
        assert_eq!(set(vec![integer(2), integer(1)]), [0x31, 6, 2, 1, 1, 2, 1, 2]);
    }

    #[test]
    fn bmp_strings_are_big_endian() {
        assert_eq!(bmp_string("Aß"), [0x1E, 4, 0, 0x41, 0, 0xDF]);
    }
}
