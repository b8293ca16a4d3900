//! Hash functions whose values others have published, so that a key lands where it lands in the systems that
//! are compared.

use xxhash_rust::xxh64;

/// XXH64 (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>): gRPC's ring hash (gRFC A42), random
/// subsetting (A68), Envoy's ring, Maglev and request hashes.
#[inline]
pub fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    xxh64::xxh64(bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_is_as_published() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a", 0), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
        assert_eq!(xxh64(b"test", 0), 0x4fdc_ca5d_db67_8139);
        assert_eq!(xxh64(b"test", 1), 0x99eb_bf9b_a48f_4c5d);
    }
}
