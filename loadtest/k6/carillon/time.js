// How does a script wait without holding up its sockets?

import { setTimeout } from 'k6/timers'

/** Resolves after some milliseconds. */
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, Math.max(0, ms)) })
/** Resolves at a time (milliseconds since 1970). */
export const until = (moment) => sleep(moment - Date.now())
/** A duration around `ms`: half of it to one and a half. */
export const around = (ms) => ms * (0.5 + Math.random())
/** `[0, 1, …]`, `count` of them. */
export const range = (count) => Array.from({ length: count }, (_, index) => index)
