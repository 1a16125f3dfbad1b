/* SPDX-License-Identifier: MIT */
/* What a client asks for: RFC 9110, section 12.5. Pure functions of header values, which may
 * hold any bytes. */
#ifndef ACCEPT_H
#define ACCEPT_H

#include <stdbool.h>

enum text_format {
    TEXT_FORMAT_PROMETHEUS, /* text/plain; version=0.0.4 */
    TEXT_FORMAT_OPENMETRICS /* application/openmetrics-text; version=1.0.0 */
};

/* The one with the higher q-value; of equal ones that which is named first. Prometheus' text
 * where neither is accepted, or there is no header (NULL): a scraper that can't read it says
 * so better than a status 406 would. */
enum text_format accept_format(const char *accept);

/* Does Accept-Encoding (or NULL) take gzip? */
bool accept_gzip(const char *accept_encoding);

#endif
