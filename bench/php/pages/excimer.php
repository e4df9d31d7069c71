<?php
// A timer of Excimer that reads the heap every millisecond: the timeline that PHP can keep of itself.

final class BenchTimeline
{
    public static $timer;
    public static $seen = array();
}
BenchTimeline::$timer = new ExcimerTimer();
BenchTimeline::$timer->setEventType(EXCIMER_REAL);
BenchTimeline::$timer->setPeriod(0.001);
BenchTimeline::$timer->setCallback(function () {
    BenchTimeline::$seen[] = memory_get_usage();
});
BenchTimeline::$timer->start();
