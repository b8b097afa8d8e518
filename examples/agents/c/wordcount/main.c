/* wordcount: lines, words, bytes and the most frequent words of a text.
 *
 * Reads /in/text, writes /out/counts.json. Lines are newlines, words are runs
 * between white space, as wc counts them. For the most frequent words, a word is
 * a run of letters, digits, apostrophes and UTF-8 sequences but dashes, quotes and
 * such (U+2000 to U+203F), in lower case (ASCII), at most 64 bytes.
 */
#include "../guest.h"

enum { SLOTS = 1 << 16, WORD = 64, TOP = 10, ARENA = 3 << 20 };

struct slot {
	unsigned at; /* in the arena */
	unsigned length;
	unsigned long long count; /* 0: free */
};

static struct slot table[SLOTS];
static char arena[ARENA];
static unsigned used, distinct;

static unsigned hash(const char *s, unsigned n)
{
	unsigned h = 2166136261u;
	for (unsigned i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h;
}

static int same(const char *a, const char *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static void count_word(const char *word, unsigned n)
{
	unsigned i = hash(word, n) & (SLOTS - 1);
	while (table[i].count && (table[i].length != n || !same(arena + table[i].at, word, n)))
		i = (i + 1) & (SLOTS - 1);
	if (!table[i].count) {
		if (distinct == SLOTS / 4 * 3 || used + n > ARENA)
			die(2, "error: input text: too many different words\n");
		for (unsigned k = 0; k < n; k++)
			arena[used + k] = word[k];
		table[i].at = used;
		table[i].length = n;
		used += n;
		distinct++;
	}
	table[i].count++;
}

/* before says whether a stands before b in the list of the most frequent words. */
static int before(const struct slot *a, const struct slot *b)
{
	if (a->count != b->count)
		return a->count > b->count;
	for (unsigned i = 0; i < a->length && i < b->length; i++)
		if (arena[a->at + i] != arena[b->at + i])
			return (unsigned char)arena[a->at + i] < (unsigned char)arena[b->at + i];
	return a->length < b->length;
}

static int in_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' || c >= 0x80;
}

static int is_space(int c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* sequence is the length of the UTF-8 sequence at s, 0 where there is none. */
static unsigned sequence(const unsigned char *s, unsigned n)
{
	unsigned want = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	if (want > n || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (unsigned i = 1; i < want; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

/* put_word writes a word for JSON, which has no place for bytes that are not UTF-8. */
static void put_word(struct out *o, const char *s, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		unsigned k = sequence((const unsigned char *)s + i, n - i);
		put_bytes(o, k ? s + i : "?", k ? k : 1);
		i += k ? k : 1;
	}
}

static unsigned long long bytes, lines, words;
static char word[WORD];
static unsigned length;

/* end_part counts a run without punctuation in it. */
static void end_part(const char *part, unsigned n)
{
	while (n && part[n - 1] == '\'')
		n--;
	if (n)
		count_word(part, n);
}

/* end_word counts what was gathered, split at U+2000 to U+203F. */
static void end_word(void)
{
	unsigned from = 0;
	for (unsigned i = 0; i + 2 < length; i++)
		if ((unsigned char)word[i] == 0xe2 && (unsigned char)word[i + 1] == 0x80) {
			end_part(word + from, i - from);
			from = i + 3;
			i += 2;
		}
	if (from < length)
		end_part(word + from, length - from);
	length = 0;
}

/* is_full says whether c has no place in the word: a UTF-8 sequence is not cut. */
static int is_full(int c)
{
	return length == WORD || (length > WORD - 4 && (c & 0xc0) != 0x80);
}

static void count_text(__wasi_fd_t fd)
{
	static unsigned char block[1 << 16];
	int spaced = 1;
	for (unsigned n; (n = read_block(fd, block, sizeof block)) > 0; bytes += n)
		for (unsigned i = 0; i < n; i++) {
			int c = block[i];
			lines += c == '\n';
			words += spaced && !is_space(c);
			spaced = is_space(c);
			if (!in_word(c) || is_full(c))
				end_word();
			if (in_word(c) && (length || c != '\''))
				word[length++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
	end_word();
}

/* find_top fills top with the most frequent words and answers how many there are. */
static unsigned find_top(const struct slot **top)
{
	unsigned n = 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *s = &table[i];
		if (!s->count)
			continue;
		if (n == TOP && !before(s, top[TOP - 1]))
			continue;
		unsigned k = n < TOP ? n++ : TOP - 1;
		for (; k > 0 && before(s, top[k - 1]); k--)
			top[k] = top[k - 1];
		top[k] = s;
	}
	return n;
}

int main(void)
{
	const struct slot *top[TOP];
	struct out o = {0};
	count_text(open_input("/in/text"));
	if (!bytes)
		die(2, "error: input text: is empty\n");
	unsigned n = find_top(top);
	put(&o, "{\"lines\":");
	put_number(&o, lines);
	put(&o, ",\"words\":");
	put_number(&o, words);
	put(&o, ",\"bytes\":");
	put_number(&o, bytes);
	put(&o, ",\"distinct\":");
	put_number(&o, distinct);
	put(&o, ",\"top\":[");
	for (unsigned i = 0; i < n; i++) {
		put(&o, i ? ",{\"word\":\"" : "{\"word\":\"");
		put_word(&o, arena + top[i]->at, top[i]->length);
		put(&o, "\",\"count\":");
		put_number(&o, top[i]->count);
		put(&o, "}");
	}
	put(&o, "]}\n");
	write_output("/out/counts.json", &o);
	o.length = 0;
	put_number(&o, lines);
	put(&o, " lines, ");
	put_number(&o, words);
	put(&o, " words, ");
	put_number(&o, bytes);
	put(&o, " bytes\n");
	say(&o);
	return 0;
}
