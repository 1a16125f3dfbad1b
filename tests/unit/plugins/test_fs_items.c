/* SPDX-License-Identifier: MIT */
/* What a program can register with the library in plugins/fs, and what becomes of it: the
 * files, metrics and line protocol. Without a mount. */
#include "files.h"

#include "failing_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct items items;
static struct buf b;
static uint64_t u64 = 7;

static void setup(void) {
    ck_assert_int_eq(items_init(&items, "srv"), 0);
    buf_init(&b, 1 << 20);
}

static void teardown(void) {
    items_free(&items);
    buf_free(&b);
}

static int add(tally_fs_item parent, const char *name, const struct tally_fs_about *about,
               tally_fs_item *ret) {
    const struct item like = {.type = ITEM_U64, .read = &u64};
    struct item *item;
    int r = items_add(&items, parent, name, &like, about, NULL, &item);
    if (r == 0 && ret)
        *ret = item->number;
    return r;
}

static tally_fs_item directory(tally_fs_item parent, const char *name, const char *label) {
    const struct item like = {.type = ITEM_DIRECTORY};
    struct item *item;
    int r = items_add(&items, parent, name, &like, NULL, label, &item);
    return r < 0 ? (tally_fs_item)r : item->number;
}

static const char *metrics(void) {
    buf_reset(&b);
    metrics_write(&items, &b);
    return buf_text(&b);
}

static const char *influx(void) {
    buf_reset(&b);
    influx_write(&items, &b);
    char *out = b.data;
    buf_text(&b);
    /* the times differ */
    char *to = out;
    for (const char *c = out; *c;)
        if (*c == ' ' && strspn(c + 1, "0123456789") == 19) {
            c += 20;
        } else {
            *to++ = *c++;
        }
    *to = '\0';
    return out;
}

/* The file of a path, or an error. */
static const char *text(const char *path) {
    struct place place = {.item = items.root};
    buf_reset(&b);
    while (*path) {
        char name[300];
        const size_t len = strcspn(path, "/");
        snprintf(name, sizeof(name), "%.*s", (int)len, path);
        if (!place_child(&items, place, name, &place))
            return "ENOENT";
        path += len + (path[len] == '/');
    }
    struct place again;
    ck_assert(place_find(&items, place_id(place), &again));
    ck_assert(again.item == place.item && again.part == place.part);
    int r = place_text(&items, place, &b);
    return r == -E2BIG ? "E2BIG" : r == -EIO ? "EIO" : r < 0 ? "?" : buf_text(&b);
}

static int write_to(const char *name, const char *what) {
    struct place place = {.item = items.root};
    for (const char *part = name; *part;) {
        char one[300];
        const size_t len = strcspn(part, "/");
        snprintf(one, sizeof(one), "%.*s", (int)len, part);
        ck_assert(place_child(&items, place, one, &place));
        part += len + (part[len] == '/');
    }
    return place_write(&items, place, what, strlen(what), 0);
}

/* ---- Names --------------------------------------------------------------------------- */

static const char *const bad_names[] = {"", ".", "..", "a/b", "/", "a\nb", "\x7f", "\xff",
                                        "\xc2\x85" /* a control character of C1 */, "a\xe2\x82"};

START_TEST(refused_names) {
    const struct item like = {.type = ITEM_DIRECTORY};
    struct item *item;
    ck_assert_int_eq(add(TALLY_FS_ROOT, bad_names[_i], NULL, NULL), -EINVAL);
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, bad_names[_i], &like, NULL, NULL, &item),
                     -EINVAL);
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, bad_names[_i], &like, NULL, "l", &item),
                     -EINVAL);
    ck_assert_str_eq(text("all"), "");
}
END_TEST

START_TEST(long_names) {
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    ck_assert_int_eq(add(TALLY_FS_ROOT, name, NULL, NULL), -EINVAL);
    name[255] = '\0';
    ck_assert_int_eq(add(TALLY_FS_ROOT, name, NULL, NULL), 0);
    /* in metrics, a whole path is a name */
    tally_fs_item d = TALLY_FS_ROOT;
    name[0] = 'd';
    for (int i = 0; i < 3; i++)
        d = directory(d, name, NULL);
    ck_assert_int_eq((int)directory(d, name, NULL), -ENAMETOOLONG);
    ck_assert_int_eq(add(d, name, NULL, NULL), -ENAMETOOLONG);
    ck_assert_int_eq(add(d, "x", NULL, NULL), 0);
}
END_TEST

START_TEST(taken_names) {
    const struct tally_fs_about counter = {sizeof(counter), TALLY_KIND_COUNTER, NULL, NULL, 0};
    ck_assert_int_eq(add(TALLY_FS_ROOT, "a", NULL, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "a", NULL, NULL), -EEXIST);
    ck_assert_int_eq((int)directory(TALLY_FS_ROOT, "a", NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "all", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "metrics", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "influx", NULL, NULL), -EEXIST);
    const tally_fs_item d = directory(TALLY_FS_ROOT, "d", NULL);
    ck_assert_int_eq(add(d, "metrics", NULL, NULL), 0);
    ck_assert_int_eq(add(d, "all", NULL, NULL), -EEXIST);
    /* the same in metrics */
    ck_assert_int_eq(add(TALLY_FS_ROOT, "x.y", NULL, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "x-y", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "d_metrics", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "n_total", NULL, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "n", &counter, NULL), -EEXIST);
    /* no parent, or none that has children */
    ck_assert_int_eq(add(999, "b", NULL, NULL), -ENOENT);
    ck_assert_int_eq(add(0, "b", NULL, NULL), -ENOENT);
    tally_fs_item a = 0;
    ck_assert_int_eq(add(TALLY_FS_ROOT, "file", NULL, &a), 0);
    ck_assert_int_eq(add(a, "b", NULL, NULL), -ENOTDIR);
}
END_TEST

static void add_series(const char *name, tally_fs_series *series, int wanted) {
    const struct item like = {.type = ITEM_SERIES, .series = series};
    struct item *item;
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, name, &like, NULL, NULL, &item), wanted);
}

/* A series has several names in metrics. */
START_TEST(names_of_series) {
    tally_fs_series *s, *other;
    ck_assert_int_eq(tally_fs_series_new(NULL, &s), 0);
    ck_assert_int_eq(tally_fs_series_new(NULL, &other), 0);
    add_series("s", s, 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "s_count", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "s_max", NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "s_other", NULL, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "t_sum", NULL, NULL), 0);
    add_series("t", other, -EEXIST);
    items_remove(&items, items_child(&items, items.root, "t_sum", 5));
    add_series("t", other, 0);
    teardown();
    tally_fs_series_free(s);
    tally_fs_series_free(other);
    setup();
}
END_TEST

/* A field of line protocol is of one item, and keeps its type. */
START_TEST(names_of_fields) {
    const struct tally_fs_about counter = {sizeof(counter), TALLY_KIND_COUNTER, NULL, "bytes", 0};
    const struct tally_fs_about halves = {sizeof(halves), TALLY_KIND_GAUGE, NULL, NULL, 2};
    const struct tally_fs_histogram histogram = {.size = sizeof(histogram)};
    const double real = 2.5;
    struct item *item;
    tally_fs_series *s, *plain;
    ck_assert_int_eq(tally_fs_series_new(&histogram, &s), 0);
    ck_assert_int_eq(tally_fs_series_new(NULL, &plain), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "read", &counter, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "read_bytes", NULL, NULL), -EEXIST);
    add_series("lat", s, 0);
    const char *const taken[] = {"lat", "lat_p50", "lat_p7", "lat_mean", "lat_stddev", "time"};
    for (size_t i = 0; i < COUNT(taken); i++)
        ck_assert_int_eq(add(TALLY_FS_ROOT, taken[i], NULL, NULL), -EEXIST);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "lat_p", NULL, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "time", &counter, NULL), 0); /* time_bytes */
    items_remove(&items, items_child(&items, items.root, "lat", 3));
    ck_assert_int_eq(add(TALLY_FS_ROOT, "lat_p90", NULL, NULL), 0);
    add_series("lat", s, -EEXIST);
    add_series("lat", plain, 0);
    /* a name of two kinds of number, or units */
    ck_assert_int_eq(add(directory(TALLY_FS_ROOT, "a", "client"), "v", NULL, NULL), 0);
    const tally_fs_item b_of = directory(TALLY_FS_ROOT, "b", "client");
    const struct item of_real = {.type = ITEM_DOUBLE, .read = &real};
    ck_assert_int_eq(items_add(&items, b_of, "v", &of_real, NULL, NULL, &item), -EEXIST);
    ck_assert_int_eq(add(b_of, "v", &halves, NULL), -EEXIST);
    ck_assert_int_eq(add(b_of, "v", NULL, NULL), 0);
    /* a text is NAME_info in metrics, and NAME here */
    ck_assert_int_eq(add(TALLY_FS_ROOT, "version_info", NULL, NULL), 0);
    const struct item of_text = {.type = ITEM_TEXT, .read = "1"};
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "version", &of_text, NULL, NULL, &item),
                     -EEXIST);
    teardown();
    tally_fs_series_free(s);
    tally_fs_series_free(plain);
    setup();
}
END_TEST

START_TEST(numbers_are_never_given_twice) {
    tally_fs_item first, second;
    ck_assert_int_eq(add(TALLY_FS_ROOT, "a", NULL, &first), 0);
    const uint64_t id = place_id((struct place){.item = items_get(&items, first)});
    items_remove(&items, items_get(&items, first));
    ck_assert_ptr_null(items_get(&items, first));
    ck_assert_int_eq(add(TALLY_FS_ROOT, "a", NULL, &second), 0);
    ck_assert_uint_ne(first, second);
    struct place place;
    ck_assert(!place_find(&items, id, &place));
    ck_assert(place_find(&items, TREE_ROOT, &place) && place.item == items.root);
    ck_assert(!place_find(&items, UINT64_MAX, &place));
    ck_assert(!place_find(&items, 0, &place));
}
END_TEST

/* ---- What is shown --------------------------------------------------------------------- */

static void add_value(const char *name, enum item_type type, const void *value) {
    const struct item like = {.type = type, .read = value};
    struct item *item;
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, name, &like, NULL, NULL, &item), 0);
}

START_TEST(values) {
    const uint32_t u32 = UINT32_MAX;
    const uint64_t large = UINT64_MAX;
    const int i = -5;
    const int64_t i64 = INT64_MIN;
    const double d = 0.1;
    add_value("u32", ITEM_U32, &u32);
    add_value("u64", ITEM_U64, &large);
    add_value("int", ITEM_INT, &i);
    add_value("i64", ITEM_I64, &i64);
    add_value("double", ITEM_DOUBLE, &d);
    add_value("text", ITEM_TEXT, "two\nlines of \"text\"");
    ck_assert_str_eq(text("u32"), "4294967295\n");
    ck_assert_str_eq(text("u64"), "18446744073709551615\n");
    ck_assert_str_eq(text("int"), "-5\n");
    ck_assert_str_eq(text("i64"), "-9223372036854775808\n");
    ck_assert_str_eq(text("double"), "0.1\n");
    ck_assert_str_eq(text("text"), "two\nlines of \"text\"\n");
    ck_assert_str_eq(text("all"), "u32 4294967295\nu64 18446744073709551615\nint -5\n"
                                  "i64 -9223372036854775808\ndouble 0.1\n"
                                  "text two lines of \"text\"\n");
    ck_assert_str_eq(metrics(), "# TYPE srv_double gauge\nsrv_double 0.1\n"
                                "# TYPE srv_i64 gauge\nsrv_i64 -9223372036854775808\n"
                                "# TYPE srv_int gauge\nsrv_int -5\n"
                                "# TYPE srv_text_info gauge\n"
                                "srv_text_info{text=\"two\\nlines of \\\"text\\\"\"} 1\n"
                                "# TYPE srv_u32 gauge\nsrv_u32 4294967295\n"
                                "# TYPE srv_u64 gauge\nsrv_u64 18446744073709551615\n");
    /* line protocol's integers have a sign */
    ck_assert_str_eq(influx(), "srv u32=4294967295i,u64=9223372036854775807i,int=-5i,"
                               "i64=-9223372036854775808i,double=0.1,"
                               "text=\"two\\nlines of \\\"text\\\"\"\n");
}
END_TEST

/* A byte that is no UTF-8 must not cost an agent all the rest. */
START_TEST(any_text) {
    add_value("text", ITEM_TEXT, "a\xff\\z\xe2\x82\xac");
    ck_assert_str_eq(text("text"), "a\xff\\z\xe2\x82\xac\n");
    ck_assert_str_eq(metrics(), "# TYPE srv_text_info gauge\n"
                                "srv_text_info{text=\"a\xef\xbf\xbd\\\\z\xe2\x82\xac\"} 1\n");
    ck_assert_str_eq(influx(), "srv text=\"a\xef\xbf\xbd\\\\z\xe2\x82\xac\"\n");
    items_remove(&items, items_child(&items, items.root, "text", 4));
    add_value("text", ITEM_TEXT, "\x1b[31m\r\t\x7f\xc2\x9b");
    ck_assert_str_eq(metrics(), "# TYPE srv_text_info gauge\n"
                                "srv_text_info{text=\"?[31m? ??\"} 1\n");
    ck_assert_str_eq(influx(), "srv text=\"?[31m? ??\"\n");
}
END_TEST

START_TEST(kinds_and_units) {
    const struct tally_fs_about read = {sizeof(read), TALLY_KIND_COUNTER, "Bytes \\ read\nhere",
                                        "bytes", 0};
    const struct tally_fs_about busy = {sizeof(busy), TALLY_KIND_COUNTER, "Busy", "seconds",
                                        1000000000};
    const struct tally_fs_about plain = {sizeof(plain), TALLY_KIND_GAUGE, NULL, "bytes", 0};
    const struct tally_fs_about bad = {sizeof(bad), (enum tally_kind)7, NULL, NULL, 0};
    const struct tally_fs_about unit = {sizeof(unit), TALLY_KIND_GAUGE, NULL, "per cent", 0};
    const struct tally_fs_about unsized = {0, TALLY_KIND_GAUGE, NULL, NULL, 0};
    u64 = 300000000;
    ck_assert_int_eq(add(TALLY_FS_ROOT, "read", &read, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "busy", &busy, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "memory-bytes", &plain, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "hits_total", &read, NULL), 0);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "bad", &bad, NULL), -EINVAL);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "bad", &unit, NULL), -EINVAL);
    ck_assert_int_eq(add(TALLY_FS_ROOT, "bad", &unsized, NULL), -EINVAL);
    ck_assert_str_eq(text("busy"), "300000000\n");
    ck_assert_str_eq(metrics(), "# HELP srv_busy_seconds_total Busy\n"
                                "# TYPE srv_busy_seconds_total counter\n"
                                "srv_busy_seconds_total 0.3\n"
                                "# HELP srv_hits_bytes_total Bytes \\\\ read\\nhere\n"
                                "# TYPE srv_hits_bytes_total counter\n"
                                "srv_hits_bytes_total 300000000\n"
                                "# TYPE srv_memory_bytes gauge\nsrv_memory_bytes 300000000\n"
                                "# HELP srv_read_bytes_total Bytes \\\\ read\\nhere\n"
                                "# TYPE srv_read_bytes_total counter\n"
                                "srv_read_bytes_total 300000000\n");
    ck_assert_str_eq(influx(), "srv read_bytes=300000000i,busy_seconds=0.3,"
                               "memory_bytes=300000000i,hits_bytes=300000000i\n");
    u64 = 7;
}
END_TEST

START_TEST(labels) {
    const struct tally_fs_about counter = {sizeof(counter), TALLY_KIND_COUNTER, "Requests", NULL,
                                           0};
    const struct item like = {.type = ITEM_DIRECTORY};
    struct item *item;
    const tally_fs_item clients = directory(TALLY_FS_ROOT, "clients", NULL);
    const tally_fs_item ann = directory(clients, "an\"n, b=\\", "client");
    const tally_fs_item bob = directory(clients, "bob", "client");
    const tally_fs_item db = directory(bob, "db one", "base");
    ck_assert_int_eq(add(TALLY_FS_ROOT, "up", NULL, NULL), 0);
    ck_assert_int_eq(add(ann, "requests", &counter, NULL), 0);
    ck_assert_int_eq(add(bob, "requests", &counter, NULL), 0);
    ck_assert_int_eq(add(directory(db, "disk", NULL), "size", NULL, NULL), 0);
    ck_assert_str_eq(metrics(),
                     "# TYPE srv_clients_disk_size gauge\n"
                     "srv_clients_disk_size{client=\"bob\",base=\"db one\"} 7\n"
                     "# HELP srv_clients_requests_total Requests\n"
                     "# TYPE srv_clients_requests_total counter\n"
                     "srv_clients_requests_total{client=\"an\\\"n, b=\\\\\"} 7\n"
                     "srv_clients_requests_total{client=\"bob\"} 7\n"
                     "# TYPE srv_up gauge\nsrv_up 7\n");
    ck_assert_str_eq(influx(), "srv up=7i\n"
                               "srv,client=an\"n\\,\\ b\\=? clients_requests=7i\n"
                               "srv,client=bob clients_requests=7i\n"
                               "srv,client=bob,base=db\\ one clients_disk_size=7i\n");
    const char *const bad[] = {"", "a-b", "1a", "__x", "le", "text", "time"};
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "n", &like, NULL, bad[i], &item),
                         -EINVAL);
    ck_assert_int_eq((int)directory(db, "again", "client"), -EEXIST);
    /* also behind one whose name ends like it */
    const tally_fs_item in = directory(directory(TALLY_FS_ROOT, "a", "subclient"), "b", "client");
    ck_assert_int_eq((int)directory(in, "c", "client"), -EEXIST);
    ck_assert_int_gt((int)directory(db, "ok", "lient"), 0);
    /* another kind under the same name */
    ck_assert_int_eq(add(directory(clients, "eve", "client"), "requests_total", NULL, NULL),
                     -EEXIST);
}
END_TEST

START_TEST(a_series) {
    tally_fs_series *series;
    ck_assert_int_eq(tally_fs_series_new(NULL, &series), 0);
    add_series("s", series, 0);
    /* what is not known has no file */
    ck_assert_str_eq(text("s/count"), "0\n");
    ck_assert_str_eq(text("s/sum"), "0\n");
    ck_assert_str_eq(text("s/min"), "ENOENT");
    ck_assert_str_eq(text("s/mean"), "ENOENT");
    ck_assert_str_eq(text("s/all"), "count 0\nsum 0\nreset_interval_seconds 0\n");
    ck_assert_str_eq(metrics(), "# TYPE srv_s summary\nsrv_s_sum 0\nsrv_s_count 0\n");
    tally_fs_series_add(series, 3);
    ck_assert_str_eq(text("s/mean"), "3\n");
    ck_assert_str_eq(text("s/stddev"), "ENOENT");
    tally_fs_series_add(series, 1);
    ck_assert_str_eq(text("s/variance"), "2\n");
    ck_assert_str_eq(text("s/stddev"), "1.4142135623730951\n");
    ck_assert_str_eq(text("s/p50"), "ENOENT");
    ck_assert_str_eq(text("all"), "s/count 2\ns/sum 4\ns/min 1\ns/max 3\ns/last 1\ns/mean 2\n"
                                  "s/variance 2\ns/stddev 1.4142135623730951\n"
                                  "s/reset_interval_seconds 0\n");
    ck_assert_str_eq(metrics(), "# TYPE srv_s summary\nsrv_s_sum 4\nsrv_s_count 2\n"
                                "# TYPE srv_s_min gauge\nsrv_s_min 1\n"
                                "# TYPE srv_s_max gauge\nsrv_s_max 3\n"
                                "# TYPE srv_s_last gauge\nsrv_s_last 1\n"
                                "# TYPE srv_s_stddev gauge\nsrv_s_stddev 1.4142135623730951\n");
    ck_assert_int_eq(write_to("s/reset", "2\n"), -EINVAL);
    ck_assert_int_eq(write_to("s/reset", "1\n"), 0);
    ck_assert_str_eq(text("s/count"), "0\n");
    ck_assert_str_eq(text("s/max"), "ENOENT");
    ck_assert_str_eq(text("s/reset"), "");
    /* a counter never falls */
    ck_assert_str_eq(metrics(), "# TYPE srv_s summary\nsrv_s_sum 4\nsrv_s_count 2\n");
    ck_assert_int_eq(write_to("s/count", "1\n"), -EROFS);
    teardown();
    tally_fs_series_free(series);
    setup();
}
END_TEST

START_TEST(an_interval) {
    tally_fs_series *series;
    ck_assert_int_eq(tally_fs_series_new(NULL, &series), 0);
    add_series("s", series, 0);
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "x"), -EINVAL);
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "4294967296"), -ERANGE);
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "10\n"), 0); /* from 0 on */
    ck_assert_str_eq(text("s/reset_interval_seconds"), "10\n");
    tally_fs_series_add(series, 1);
    items_begin_intervals(&items, 9999999999);
    ck_assert_str_eq(text("s/count"), "1\n");
    items_begin_intervals(&items, 10000000000);
    ck_assert_str_eq(text("s/count"), "0\n");
    tally_fs_series_add(series, 1);
    items_begin_intervals(&items, 19999999999);
    ck_assert_str_eq(text("s/count"), "1\n");
    items_begin_intervals(&items, 55000000000); /* late; the next is at 60 */
    ck_assert_str_eq(text("s/count"), "0\n");
    tally_fs_series_add(series, 1);
    items_begin_intervals(&items, 59999999999);
    ck_assert_str_eq(text("s/count"), "1\n");
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "0\n"), 0);
    ck_assert_ptr_null(items.timed);
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "1\n"), 0);
    items_remove(&items, items_child(&items, items.root, "s", 1));
    ck_assert_ptr_null(items.timed);
    tally_fs_series_free(series);
}
END_TEST

/* Without memory for a reset, an interval is not set: it would be over again and again. */
START_TEST(no_memory_for_an_interval) {
    const struct tally_fs_histogram h = {.size = sizeof(h)};
    tally_fs_series *series;
    ck_assert_int_eq(tally_fs_series_new(&h, &series), 0);
    add_series("s", series, 0);
    tally_fs_series_add(series, 1);
    allocations = 0;
    fail_allocation_at = 1;
    int r = items_set_interval(&items, items_child(&items, items.root, "s", 1), 10, 0);
    fail_allocation_at = 0;
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_ptr_null(items.timed);
    ck_assert_int_eq(write_to("s/reset_interval_seconds", "10\n"), 0);
    ck_assert_str_eq(text("s/p50"), "1\n");
    items_begin_intervals(&items, 10000000000);
    ck_assert_str_eq(text("s/count"), "0\n");
    items_remove(&items, items_child(&items, items.root, "s", 1));
    tally_fs_series_free(series);
}
END_TEST

START_TEST(a_histogram) {
    const uint64_t bounds[] = {100000000, 300000000};
    const struct tally_fs_histogram h = {sizeof(h), "50 99.9", bounds, 2};
    const struct tally_fs_about about = {sizeof(about), TALLY_KIND_GAUGE, "Time", "seconds",
                                         1000000000};
    tally_fs_series *series;
    struct item *item;
    ck_assert_int_eq(tally_fs_series_new(&h, &series), 0);
    const struct item like = {.type = ITEM_SERIES, .series = series};
    const tally_fs_item d = directory(TALLY_FS_ROOT, "w", "worker");
    ck_assert_int_eq(items_add(&items, d, "time", &like, &about, NULL, &item), 0);
    tally_fs_series_add(series, 100000000);
    tally_fs_series_add(series, 100000001);
    tally_fs_series_add(series, 400000000);
    ck_assert_str_eq(text("w/time/p99.9"), "400000000\n");
    ck_assert_str_eq(metrics(), "# HELP srv_time_seconds Time\n"
                                "# TYPE srv_time_seconds histogram\n"
                                "srv_time_seconds_bucket{worker=\"w\",le=\"0.1\"} 1\n"
                                "srv_time_seconds_bucket{worker=\"w\",le=\"0.3\"} 2\n"
                                "srv_time_seconds_bucket{worker=\"w\",le=\"+Inf\"} 3\n"
                                "srv_time_seconds_sum{worker=\"w\"} 0.600000001\n"
                                "srv_time_seconds_count{worker=\"w\"} 3\n");
    const char *line = influx();
    ck_assert_msg(strstr(line, "srv,worker=w time_seconds_count=3i,time_seconds_sum=0.600000001,") ==
                      line && strstr(line, ",time_seconds_p99.9=0.4\n"), "%s", line);
    teardown();
    tally_fs_series_free(series);
    setup();
}
END_TEST

/* ---- Parameters ---------------------------------------------------------------------- */

START_TEST(parameters) {
    uint32_t u32 = 5;
    int64_t i64 = 5;
    double d = 0.5;
    struct item *item;
    const struct item of_u32 = {.type = ITEM_U32, .write = &u32, .is_parameter = true,
                                .min.whole = 1, .max.whole = 10};
    const struct item of_i64 = {.type = ITEM_I64, .write = &i64, .is_parameter = true,
                                .min.number = -10, .max.number = 10};
    const struct item of_double = {.type = ITEM_DOUBLE, .write = &d, .is_parameter = true,
                                   .min.real = 0, .max.real = 1};
    const struct tally_fs_about counter = {sizeof(counter), TALLY_KIND_COUNTER, NULL, NULL, 0};
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "u", &of_u32, &counter, NULL, &item),
                     -EINVAL);
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "u", &of_u32, NULL, NULL, &item), 0);
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "i", &of_i64, NULL, NULL, &item), 0);
    ck_assert_int_eq(items_add(&items, TALLY_FS_ROOT, "d", &of_double, NULL, NULL, &item), 0);
    ck_assert_int_eq(write_to("u", "10\n"), 0);
    ck_assert_uint_eq(u32, 10);
    ck_assert_int_eq(write_to("u", "11\n"), -ERANGE);
    ck_assert_int_eq(write_to("u", "0"), -ERANGE);
    ck_assert_int_eq(write_to("u", "4294967297"), -ERANGE);
    ck_assert_int_eq(write_to("u", "10000000000000000000000"), -ERANGE);
    ck_assert_int_eq(write_to("u", "12xyz"), -EINVAL);
    ck_assert_int_eq(write_to("u", "-1"), -EINVAL);
    ck_assert_int_eq(write_to("u", ""), -EINVAL);
    ck_assert_uint_eq(u32, 10);
    ck_assert_int_eq(write_to("i", "-10"), 0);
    ck_assert_int_eq(i64, -10);
    ck_assert_int_eq(write_to("i", "-11"), -ERANGE);
    ck_assert_int_eq(write_to("d", "0.25\n"), 0);
    ck_assert_double_eq(d, 0.25);
    ck_assert_int_eq(write_to("d", "1.5"), -ERANGE);
    ck_assert_int_eq(write_to("d", "nan"), -EINVAL);
    ck_assert_str_eq(text("all"), "u 10\ni -10\nd 0.25\n");
}
END_TEST

/* ---- Formatters ------------------------------------------------------------------------ */

static ssize_t long_text(void *data, char *to, size_t room) {
    const size_t len = *(size_t *)data;
    for (size_t i = 0; i + 1 < room && i < len; i++)
        to[i] = 'x';
    return (ssize_t)len;
}

static ssize_t liar(void *data, char *to, size_t room) {
    (void)data;
    (void)to;
    return (ssize_t)room - 1; /* of which it has written nothing */
}

static ssize_t number(void *data, char *to, size_t room) {
    return snprintf(to, room, "%s", (const char *)data);
}

static ssize_t failure(void *data, char *to, size_t room) {
    (void)to;
    (void)room;
    return *(ssize_t *)data;
}

static int add_call(const char *name, ssize_t (*format)(void *, char *, size_t), void *data,
                    const struct tally_fs_about *about) {
    const struct item like = {.type = ITEM_CALLS,
                              .calls = {sizeof(struct tally_fs_calls), format, NULL, data}};
    struct item *item;
    return items_add(&items, TALLY_FS_ROOT, name, &like, about, NULL, &item);
}

START_TEST(formatters) {
    const struct tally_fs_about gauge = {sizeof(gauge), TALLY_KIND_GAUGE, NULL, NULL, 0};
    size_t lengths[] = {0, 255, 256, 301, 1000000, 1 << 21};
    ssize_t eio = -EIO, wild = -1000000;
    char answer[] = "42.5\n", words[] = "so\nso";
    ck_assert_int_eq(add_call("long", long_text, &lengths[0], NULL), 0);
    for (size_t i = 0; i < 5; i++) {
        lengths[0] = lengths[i];
        ck_assert_uint_eq(strspn(text("long"), "x"), lengths[i]);
        ck_assert_uint_eq(b.len, lengths[i]);
    }
    lengths[0] = lengths[5];
    ck_assert_str_eq(text("long"), "E2BIG");
    ck_assert_int_eq(add_call("eio", failure, &eio, NULL), 0);
    ck_assert_str_eq(text("eio"), "EIO");
    ck_assert_int_eq(add_call("wild", failure, &wild, NULL), 0);
    ck_assert_str_eq(text("wild"), "EIO");
    ck_assert_int_eq(add_call("n", number, answer, &gauge), 0);
    ck_assert_int_eq(add_call("w", number, words, &gauge), 0);
    ck_assert_str_eq(text("all"), "n 42.5\nw so so\n");
    ck_assert_str_eq(metrics(), "# TYPE srv_n gauge\nsrv_n 42.5\n");
    ck_assert_str_eq(influx(), "srv n=42.5\n");
    /* nobody sees what was in that memory before */
    memset(b.data, 'S', b.size);
    ck_assert_int_eq(add_call("liar", liar, NULL, NULL), 0);
    const char *got = text("liar");
    ck_assert_uint_eq(b.len, 255);
    for (size_t i = 0; i < b.len; i++)
        ck_assert_int_eq(got[i], 0);
}
END_TEST

/* ---- Removing, and memory ---------------------------------------------------------------- */

START_TEST(removal) {
    const tally_fs_item d = directory(TALLY_FS_ROOT, "d", NULL);
    const tally_fs_item e = directory(d, "e", NULL);
    for (int i = 0; i < 100; i++) {
        char name[20];
        snprintf(name, sizeof(name), "n%d", i);
        ck_assert_int_eq(add(i % 2 ? d : e, name, NULL, NULL), 0);
    }
    items_remove(&items, items_get(&items, e));
    ck_assert_str_eq(text("d/e"), "ENOENT");
    ck_assert_str_eq(text("d/n1"), "7\n");
    ck_assert_uint_eq(HASH_CNT(hh, items.families), 50);
    items_remove(&items, items_get(&items, d));
    ck_assert_str_eq(metrics(), "");
    ck_assert_str_eq(text("all"), "");
    ck_assert_int_eq((int)(directory(TALLY_FS_ROOT, "d", NULL) > e), 1);
}
END_TEST

START_TEST(no_memory) {
    const struct tally_fs_about about = {sizeof(about), TALLY_KIND_COUNTER, "Help", "bytes", 0};
    tally_fs_item d = 0, item = 0;
    for (fail_allocation_at = 1;; fail_allocation_at++) {
        teardown();
        allocations = 0;
        int r = items_init(&items, "srv");
        if (r == 0) {
            d = directory(TALLY_FS_ROOT, "d", "label");
            r = (int64_t)d < 0 ? (int)d : add(d, "n", &about, &item);
        }
        if (r == 0)
            break;
        ck_assert_int_eq(r, -ENOMEM);
    }
    ck_assert_int_gt(fail_allocation_at, 10);
    fail_allocation_at = 0;
    ck_assert_str_eq(text("d/n"), "7\n");
}
END_TEST

START_TEST(many) {
    const tally_fs_item d = directory(TALLY_FS_ROOT, "d", NULL);
    char name[20];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ck_assert_int_eq(add(d, name, NULL, NULL), 0);
    }
    ck_assert_str_eq(text("d/n9999"), "7\n");
    metrics();
    ck_assert_int_eq(b.error, 0);
    size_t lines = 0;
    for (size_t i = 0; i < b.len; i++)
        lines += b.data[i] == '\n';
    ck_assert_uint_eq(lines, 20000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fs_items");
    TCase *tc = add_case(suite, "fs_items");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, refused_names, 0, COUNT(bad_names));
    tcase_add_test(tc, long_names);
    tcase_add_test(tc, taken_names);
    tcase_add_test(tc, names_of_series);
    tcase_add_test(tc, names_of_fields);
    tcase_add_test(tc, numbers_are_never_given_twice);
    tcase_add_test(tc, values);
    tcase_add_test(tc, any_text);
    tcase_add_test(tc, kinds_and_units);
    tcase_add_test(tc, labels);
    tcase_add_test(tc, a_series);
    tcase_add_test(tc, an_interval);
    tcase_add_test(tc, no_memory_for_an_interval);
    tcase_add_test(tc, a_histogram);
    tcase_add_test(tc, parameters);
    tcase_add_test(tc, formatters);
    tcase_add_test(tc, removal);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, many);
    return run_suite(suite);
}
