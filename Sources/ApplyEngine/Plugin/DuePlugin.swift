import Clusterfile

/// A plugin that has to do something on a host at a phase.
public struct DuePlugin: Sendable, Hashable {
    /// The plugin's name.
    public var name: String
    /// The phase.
    public var phase: Plugin.Phase
    /// Why it is due, for people.
    public var reason: String
    /// The most time that it may take, in seconds.
    public var timeout: Int

    /// Makes one.
    public init(name: String, phase: Plugin.Phase, reason: String, timeout: Int = Plugin.defaultTimeout) {
        self.name = name
        self.phase = phase
        self.reason = reason
        self.timeout = timeout
    }
}
