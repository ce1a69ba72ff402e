/**
 * Hosts and how to talk to their agents: who has registered and is alive, what room they have, a connection to each,
 * and what an agent's refusal means to a caller. What is asked of an agent is the business of the other features.
 */
@NullMarked
package dev.sandglass.control.host;

import org.jspecify.annotations.NullMarked;
