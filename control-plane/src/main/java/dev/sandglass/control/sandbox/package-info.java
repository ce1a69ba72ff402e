/**
 * Sandboxes as rows: create, list, find, pause, resume, delete, ping, the quota of a team, and the reconciler that makes
 * rows say what hosts have. The machines themselves are the agents' business.
 *
 * <pre>
 *                      ┌──▶ pausing ──▶ paused ──┐
 *   POST ──▶ pending ──▶ running                 ├──▶ resuming ──▶ running
 *               │      └──▶ stopped ─────────────┘                    stopped: its machine is gone, its disk is kept
 *               ▼              │
 *             error ───────────┴──▶ deletion requested ──▶ deleted    from any status
 * </pre>
 *
 * Every arrow is an update that names the status and version it starts from. Beside these, a row becomes what its host
 * says ({@link dev.sandglass.control.sandbox.SandboxStatus#mayBecome}). A deletion is asked for in any state; while its
 * host cannot be reached the row says so and the reconciler tries again.
 */
@NullMarked
package dev.sandglass.control.sandbox;

import org.jspecify.annotations.NullMarked;
