/**
 * Snapshots: what a team keeps of a sandbox under a name, to make sandboxes from. Rows and names; the frozen machines
 * themselves are the agents' business, where they lie under their id and never under their name.
 *
 * <pre>
 *   POST ──▶ being made (hidden) ──▶ complete ──▶ deleted ──▶ removed: its host has confirmed
 *                   │                                ▲
 *                   └── failed, or past its deadline ┘
 * </pre>
 *
 * A row is there before its host is told, so that whatever becomes of this process its host is told to delete what has
 * no complete row. An overwritten name goes to the new snapshot in the transaction that deletes the old one.
 */
@NullMarked
package dev.sandglass.control.snapshot;

import org.jspecify.annotations.NullMarked;
