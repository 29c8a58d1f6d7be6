//! Writes the corpus' seeds: `cargo run --bin seeds` in `fuzz/`.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let live = bytes(&resolver_fuzz::live());

    let raw = |table: &[u8]| [&[0], table].concat();
    let mut attach =
        vec![Vec::new(), raw(&[]), raw(&live[..64]), raw(&live[..64 * 64]), raw(&live), raw(&[0; 8192])];
    let change = |changes: &[(u16, u64)]| {
        let changes = changes
            .iter()
            .flat_map(|(place, value)| [&place.to_le_bytes()[..], &value.to_le_bytes()].concat());
        [1].into_iter().chain(changes).collect::<Vec<u8>>()
    };
    // The header, the epoch, a head's seq and set, a setting, a shadow, the directory, the long names, changes, leaves, text.
    for place in [
        0, 1, 2, 3, 4, 5, 7, 16, 32, 512, 515, 519, 520, 527, 528, 531, 533, 535, 792, 795, 800, 807, 1088,
        1091, 1095, 1152, 1216, 1368, 1375, 1376, 1384, 1392, 1400, 1880,
    ] {
        for value in [0, u64::MAX, 0x0000_ffff_ffff_fff0] {
            if place < 16 && value == 0 {
                continue;
            }
            attach.push(change(&[(place, value), (place + 1, value)]));
        }
    }
    // Headers that are wrong and signed: counts, of a live table and of zeros, as they are and cut to what opens.
    for mode in [3, 7] {
        for (place, value) in
            [(3u16, 0x1_0000_0001u64), (3, 63), (4, 0x2_0000_0040), (4, 0x40), (5, 0x8_0000_0002)]
        {
            let mut signed = change(&[(place, value)]);
            signed[0] = mode;
            attach.push(signed);
        }
    }
    for mode in [2, 6] {
        let mut signed = raw(&bytes(&[0, 0, 0, 2, 0x1_0000_0001, 0x4_0000_0003]));
        signed[0] = mode;
        signed.resize(64 * 300, 0x5a);
        attach.push(signed);
    }
    let names: [&[u8]; 12] = [
        b"",
        b"+oms\noms\n-oms\noms",
        b"+\n+\0\noms\0\n",
        b"+exactly-twenty-four-byte\nexactly-twenty-four-byte\n",
        b"+a-name-of-twenty-five-byte\na-name-of-twenty-five-bytf\n",
        b"+a\n+b\n+c\n+d\n+e\n+f\n+g\n+h\n+i\n-a\n+i\n+a\n-b\n+a\na\n",
        "+é\n+日本語の名前はとても長いですから入りません\n日本語の名前はとても長いですから入りません".as_bytes(),
        b"+\xff\xfe\n\xff\xfe\n",
        b"-never\nnever\n-\n",
        b"+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
        b"+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac\n-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        b"+a b\n+a\tb\n+a\x7fb\na b\n",
    ];
    let mut records = vec![Vec::new(), vec![0xff; 192], vec![0; 192]];
    for (seq, word) in
        [(4u64, 0u64), (5, 0), (6, u64::MAX), (8, u64::MAX), (9, 0x0102_0304_0506_0708), (7, 1 << 63)]
    {
        let mut words = Vec::new();
        for _ in 0..3 {
            words.push(seq);
            words.extend([word; 7]);
        }
        records.push(bytes(&words));
    }
    let names: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    for (target, seeds) in [("attach", attach), ("name", names), ("record", records)] {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
