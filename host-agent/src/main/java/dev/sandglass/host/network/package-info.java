/**
 * A place in the network for each sandbox: namespace, veth pair, tap, addresses and the egress policy, prepared ahead
 * in a pool and shared out among the installations of a machine. Knows nothing of what is attached to the tap.
 */
@NullMarked
package dev.sandglass.host.network;

import org.jspecify.annotations.NullMarked;
