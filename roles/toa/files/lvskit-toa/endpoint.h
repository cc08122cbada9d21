/* SPDX-License-Identifier: GPL-2.0 */
/* Nothing of the kernel in here but names of types: the same text is compiled for user space. */
#ifndef LVSKIT_ENDPOINT_H
#define LVSKIT_ENDPOINT_H

/* An IPv4 address and a TCP port; port 0 where the address alone counts. */
struct endpoint {
	__be32 address;
	__be16 port;
};

#endif
