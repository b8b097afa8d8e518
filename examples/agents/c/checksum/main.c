/* checksum: the digests of a file, to check that it arrived unchanged.
 *
 * Reads /in/file, writes /out/checksums.json with its size, SHA-256 (FIPS 180-4),
 * CRC-32 (IEEE 802.3, as gzip and zip use it) and Adler-32 (RFC 1950).
 */
#include <stdint.h>

#include "../guest.h"

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* sha256_block takes 64 bytes into the state. */
static void sha256_block(const unsigned char *p)
{
	uint32_t w[64], v[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(v, state, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
		uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof *v);
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

static unsigned char tail[128]; /* what does not fill a block yet */
static unsigned held;
static uint64_t size;
static uint32_t crc = 0xffffffff, crc_table[256], adler_a = 1, adler_b;

static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

static void take(const unsigned char *p, unsigned n)
{
	size += n;
	for (unsigned i = 0; i < n; i++) {
		crc = crc_table[(crc ^ p[i]) & 0xff] ^ crc >> 8;
		adler_a = (adler_a + p[i]) % 65521;
		adler_b = (adler_b + adler_a) % 65521;
		tail[held++] = p[i];
		if (held == 64) {
			sha256_block(tail);
			held = 0;
		}
	}
}

static void sha256_end(void)
{
	uint64_t bits = size * 8;
	unsigned end = held < 56 ? 64 : 128;
	memset(tail + held, 0, sizeof tail - held);
	tail[held] = 0x80;
	for (int i = 0; i < 8; i++)
		tail[end - 1 - i] = (unsigned char)(bits >> 8 * i);
	sha256_block(tail);
	if (end == 128)
		sha256_block(tail + 64);
}

static void put_hex(struct out *o, uint32_t v)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		put_bytes(o, &"0123456789abcdef"[v >> shift & 15], 1);
}

static void put_sha256(struct out *o)
{
	for (int i = 0; i < 8; i++)
		put_hex(o, state[i]);
}

int main(void)
{
	static unsigned char block[1 << 16];
	struct out o = {0};
	__wasi_fd_t fd = open_input("/in/file");
	make_crc_table();
	for (unsigned n; (n = read_block(fd, block, sizeof block)) > 0;)
		take(block, n);
	sha256_end();
	put(&o, "{\"bytes\":");
	put_number(&o, size);
	put(&o, ",\"sha256\":\"");
	put_sha256(&o);
	put(&o, "\",\"crc32\":\"");
	put_hex(&o, ~crc);
	put(&o, "\",\"adler32\":\"");
	put_hex(&o, adler_b << 16 | adler_a);
	put(&o, "\"}\n");
	write_output("/out/checksums.json", &o);
	o.length = 0;
	put(&o, "sha256 ");
	put_sha256(&o);
	put(&o, ", ");
	put_number(&o, size);
	put(&o, " bytes\n");
	say(&o);
	return 0;
}
