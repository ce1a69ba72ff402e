/**
 * Sandboxes as rows: create, list, find, delete, ping, the quota of a team, idempotent creation, and the settling of
 * what was interrupted. The machines themselves are the agents' business.
 *
 * <pre>
 *   POST ──▶ pending ──▶ running ──▶ stopped     stopped: its host no longer has it
 *               │           │           │
 *               ▼           ▼           ▼
 *             error ────▶ deletion requested ──▶ deleted
 * </pre>
 *
 * Every arrow is an update that names the state and version it starts from. A deletion is asked for in any state; while
 * its host cannot be reached the row says so and the settler tries again.
 */
@NullMarked
package dev.sandglass.control.sandbox;

import org.jspecify.annotations.NullMarked;
