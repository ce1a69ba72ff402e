package dev.sandglass.host.network;

import java.net.Inet4Address;

/**
 * A place in the network for one guest. Inside its namespace everything is the same for every slot, so that frozen
 * guests fit any of them: the guest is 169.254.0.21/30 with MAC 06:00:a9:fe:00:15, gateway and name server are
 * 169.254.0.22.
 *
 * @param index unique on the machine
 * @param hostAddress where the host reaches the guest
 * @param tap name of the tap in the namespace; belongs to {@code uid}
 * @param uid unprivileged, unique on the machine, owns nothing else
 */
public record Slot(int index, String namespace, Inet4Address hostAddress, String tap, int uid) {}
