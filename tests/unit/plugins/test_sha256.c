/* SPDX-License-Identifier: MIT */
/* The digests of FIPS 180-4's examples, and around the edges of a block. */
#include "sha256.h"

#include "suite.h"

#include <stdio.h>
#include <string.h>

/* printf %s TEXT | sha256sum */
static const struct {
    const char *text, *digest;
} cases[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopq"
     "rsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

START_TEST(digests) {
    unsigned char digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];

    sha256(cases[_i].text, strlen(cases[_i].text), digest);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    ck_assert_str_eq(text, cases[_i].digest);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sha256");
    TCase *tc = add_case(suite, "digests");

    tcase_add_loop_test(tc, digests, 0, COUNT(cases));
    return run_suite(suite);
}
