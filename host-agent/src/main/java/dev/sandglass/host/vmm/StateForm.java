package dev.sandglass.host.vmm;

/** How a device state was written, which its reader has to know beforehand. */
public enum StateForm {
    /** By {@link VirtualMachine#saveTemplateState}. */
    TEMPLATE,
    /** By {@link VirtualMachine#saveDeviceState}. */
    DEVICES
}
