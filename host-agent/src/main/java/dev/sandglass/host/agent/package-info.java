/**
 * Composes disks, networks, VMs, templates and guest clients to sandboxes: one owner for each, a ledger that says what
 * exists, reclaim at start, admission, and the gRPC service. Knows nothing of teams or people.
 */
@NullMarked
package dev.sandglass.host.agent;

import org.jspecify.annotations.NullMarked;
